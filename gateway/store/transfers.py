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
from gateway.store import jsontext
from gateway.store.connection import Transaction
from gateway.store.database import Source, reading
from gateway.store.schema import QUANTILE_PARTS, terminals, transfers
from gateway.store.selection import chunks

RECENT_MAX: Final = 200
"""Transfers that a rate is read from: the newest."""
LEAST_MOVING: Final = 0.05
"""The smallest share of its time in which a transfer is taken to have moved: its clock and its pauses may disagree."""
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

    @property
    def overall_bps(self) -> float:
        """Median goodput, slowed by the share of the time in which it stood still though the terminal was there; 0 without."""
        pauses, goodput = self.account.pauses, self.account.goodput_bps
        away_s = pauses[PauseCause.SILENCE].seconds if PauseCause.SILENCE in pauses else 0.0
        present_s = (self.at_us - self.started_us) / 1e6 - away_s
        paused_s = sum(pause.seconds for cause, pause in pauses.items() if cause != PauseCause.SILENCE)
        moving = max(LEAST_MOVING, 1.0 - paused_s / present_s) if present_s > 0 else 1.0
        return goodput.p50 * moving if goodput is not None else 0.0


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


NOTHING: Final = TransferTotals(
    transfers=0,
    useful_bytes=0,
    sent_bytes=0,
    resent_bytes=0,
    overhead_bytes=0,
    pauses={},
    goodput_p50_bps=None,
    delay_p95_ms=None,
)


async def of_upgrade(db: Source, upgrade: str, *, limit: int = 100) -> Sequence[TransferRow]:
    """The newest ``limit`` transfers of one upgrade, oldest first."""
    statement = sa.select(transfers).where(transfers.c.upgrade == upgrade)
    return (await _rows(db, statement.order_by(transfers.c.transfer.desc()).limit(limit)))[::-1]


async def of_terminal(db: Source, terminal: str, *, limit: int = 10) -> Sequence[TransferRow]:
    """The newest ``limit`` transfers of one terminal, newest first."""
    statement = sa.select(transfers).where(transfers.c.terminal == terminal)
    return await _rows(db, statement.order_by(transfers.c.started_us.desc(), transfers.c.transfer.desc()).limit(limit))


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


async def rates_of_terminal(db: Source, terminal: str, *, limit: int = 10) -> Sequence[float]:
    """``overall_bps`` of the newest ``limit`` transfers of one terminal that measured their goodput, newest first."""
    return await _rates(db, sa.select(transfers).where(transfers.c.terminal == terminal), limit)


async def rates_of_kind(db: Source, *, model: str = "", rat: str = "", limit: int = RECENT_MAX) -> Sequence[float]:
    """The same over all terminals of a model that were last on a radio technology; empty texts mean any."""
    statement = sa.select(transfers).join(terminals, terminals.c.id == transfers.c.terminal)
    if model:
        statement = statement.where(terminals.c.model == model)
    if rat:
        statement = statement.where(terminals.c.facts.contains(f'"rat":{jsontext.dump(rat)}', autoescape=True))
    return await _rates(db, statement, limit)


async def last_goodputs(db: Source, ids: Sequence[str]) -> dict[str, float]:
    """The median goodput (bytes per second) of each terminal's newest transfer that measured one; the others are left out."""
    newest = sa.func.row_number().over(partition_by=transfers.c.terminal, order_by=transfers.c.started_us.desc())
    found: dict[str, float] = {}
    async with reading(db) as tx:
        for some in chunks(ids):
            ranked = (
                sa.select(transfers.c.terminal, transfers.c.goodput_p50, newest.label("place"))
                .where(transfers.c.terminal.in_(some), transfers.c.goodput_p50.is_not(None))
                .subquery()
            )
            rows = await tx.fetch(sa.select(ranked.c.terminal, ranked.c.goodput_p50).where(ranked.c.place == 1))
            found |= {row.terminal: float(row.goodput_p50) for row in rows}
    return found


async def _rates(db: Source, statement: sa.Select[Any], limit: int) -> Sequence[float]:
    measured = statement.where(transfers.c.goodput_count.is_not(None)).order_by(transfers.c.started_us.desc()).limit(limit)
    return [row.overall_bps for row in await _rows(db, measured)]


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
