"""What transfers cost: of one upgrade, of one terminal, of a campaign together, and the rates that later estimates begin with.

Written by ``Writer`` alone, a row per transfer of an upgrade; read by ``services``. Nothing here is ever needed to carry a
transfer on: that is in the upgrade's snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from gateway.core.transfer.account import Account, Pause, PauseCause, Quantiles
from gateway.store.connection import Transaction
from gateway.store.database import Source, reading
from gateway.store.schema import QUANTILE_PARTS, terminals, transfers

RECENT_MAX: Final = 200
"""Transfers that a rate is read from: the newest."""
_SUMS: Final = ("useful_bytes", "sent_bytes", "resent_bytes", "overhead_bytes", "chunks", "acks", "probes", "connections")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRow:
    """One transfer as it was last saved."""

    upgrade: str
    transfer: int
    terminal: str
    campaign: str
    started_us: int
    at_us: int
    ended: str
    """The state that it left to; ``""`` while it is open."""
    account: Account


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferTotals:
    """All transfers of a campaign together."""

    transfers: int
    useful_bytes: int
    sent_bytes: int
    resent_bytes: int
    overhead_bytes: int
    pauses: Mapping[str, Pause]
    goodput_p50_bps: float | None
    """The median over its transfers of each one's median; ``None`` when none was measured."""
    delay_p95_ms: float | None
    """The 95 % quantile over its transfers of each one's 95 % quantile of queueing delay."""

    @property
    def wasted_ratio(self) -> float:
        """Share of the package bytes sent that had been sent before."""
        return self.resent_bytes / self.sent_bytes if self.sent_bytes else 0.0


async def of_upgrade(db: Source, upgrade: str, *, limit: int = 100) -> Sequence[TransferRow]:
    """The newest ``limit`` transfers of one upgrade, oldest first."""
    statement = sa.select(transfers).where(transfers.c.upgrade == upgrade)
    return (await _rows(db, statement.order_by(transfers.c.transfer.desc()).limit(limit)))[::-1]


async def of_terminal(db: Source, terminal: str, *, limit: int = 10) -> Sequence[TransferRow]:
    """The newest ``limit`` transfers of one terminal, newest first."""
    statement = sa.select(transfers).where(transfers.c.terminal == terminal)
    return await _rows(db, statement.order_by(transfers.c.at_us.desc(), transfers.c.transfer.desc()).limit(limit))


async def of_campaign(db: Source, campaign: str) -> TransferTotals:
    """The sums over a campaign; zeros and ``None`` when nothing was transferred yet."""
    summed = (*_SUMS, *(f"{cause.value}_{part}" for cause in PauseCause for part in ("count", "s")))
    columns = [sa.func.coalesce(sa.func.sum(transfers.c[name]), 0).label(name) for name in summed]
    counted = [sa.func.count(transfers.c[name]).label(name) for name in ("goodput_p50", "delay_p95")]
    statement = sa.select(sa.func.count().label("number"), *columns, *counted).where(transfers.c.campaign == campaign)
    async with reading(db) as tx:
        row = (await tx.fetch(statement))[0]
        return TransferTotals(
            transfers=row.number,
            useful_bytes=int(row.useful_bytes),
            sent_bytes=int(row.sent_bytes),
            resent_bytes=int(row.resent_bytes),
            overhead_bytes=int(row.overhead_bytes),
            pauses=_pauses(row._asdict()),
            goodput_p50_bps=await _ranked(tx, campaign, "goodput_p50", row.goodput_p50, 0.5),
            delay_p95_ms=await _ranked(tx, campaign, "delay_p95", row.delay_p95, 0.95),
        )


async def goodputs_of_terminal(db: Source, terminal: str, *, limit: int = 10) -> Sequence[Quantiles]:
    """What the newest ``limit`` transfers of one terminal measured, newest first; those that measured nothing are left out."""
    return await _goodputs(db, sa.select(transfers).where(transfers.c.terminal == terminal), limit)


async def goodputs_of_model(db: Source, model: str, *, limit: int = RECENT_MAX) -> Sequence[Quantiles]:
    """The same over all terminals of a model; over the whole fleet when ``model`` is empty."""
    statement = sa.select(transfers)
    if model:
        statement = statement.join(terminals, terminals.c.id == transfers.c.terminal).where(terminals.c.model == model)
    return await _goodputs(db, statement, limit)


async def _goodputs(db: Source, statement: sa.Select[Any], limit: int) -> Sequence[Quantiles]:
    measured = statement.where(transfers.c.goodput_count.is_not(None)).order_by(transfers.c.at_us.desc()).limit(limit)
    rows = await _rows(db, measured)
    return [row.account.goodput_bps for row in rows if row.account.goodput_bps is not None]


async def _ranked(tx: Transaction, campaign: str, column: str, count: int, part: float) -> float | None:
    """The value that ``part`` of the campaign's ``count`` measured transfers do not exceed."""
    if not count:
        return None
    value = transfers.c[column]
    statement = sa.select(value).where(transfers.c.campaign == campaign, value.is_not(None)).order_by(value)
    return float((await tx.fetch(statement.limit(1).offset(min(count - 1, int(part * count)))))[0][0])


async def _rows(db: Source, statement: sa.Select[Any]) -> list[TransferRow]:
    async with reading(db) as tx:
        rows = await tx.fetch(statement)
    return [_row(row._asdict()) for row in rows]


def _row(values: Mapping[str, Any]) -> TransferRow:
    names = ("upgrade", "transfer", "terminal", "campaign", "started_us", "at_us", "ended")
    account = Account(
        **{name: values[name] for name in _SUMS},
        pauses=_pauses(values),
        goodput_bps=_quantiles(values, "goodput"),
        delay_ms=_quantiles(values, "delay"),
    )
    return TransferRow(**{name: values[name] for name in names}, account=account)


def _pauses(values: Mapping[str, Any]) -> dict[str, Pause]:
    return {
        cause.value: Pause(count=int(values[f"{cause.value}_count"]), seconds=float(values[f"{cause.value}_s"]))
        for cause in PauseCause
        if values[f"{cause.value}_count"]
    }


def _quantiles(values: Mapping[str, Any], what: str) -> Quantiles | None:
    if values[f"{what}_count"] is None:
        return None
    return Quantiles(**{part: values[f"{what}_{part}"] for part in QUANTILE_PARTS})
