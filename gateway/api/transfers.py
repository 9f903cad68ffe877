"""The route about the transfers of an upgrade, and how transfers look in other answers."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter

from gateway.api.given import Given, UpgradeId, problems
from gateway.api.shapes import Page, moment
from gateway.api.transfer_models import PauseOut, QuantilesOut, TransferOut, TransferTotalsOut
from gateway.core.transfer.account import Pause, Quantiles
from gateway.services import upgrades
from gateway.store.transfers import TransferRow, TransferTotals

router = APIRouter(tags=["upgrades"])


@router.get(
    "/upgrades/{upgrade}/transfers",
    operation_id="listUpgradeTransfers",
    summary="List the transfers of an upgrade",
    responses=problems(s404="There is none"),
)
async def listing(upgrade: UpgradeId, services: Given) -> Page[TransferOut]:
    """What each transfer of an upgrade cost and how it went: the newest hundred, oldest first."""
    return Page(items=[transfer_out(row) for row in await upgrades.transfers_of(services, upgrade)])


def transfer_out(row: TransferRow) -> TransferOut:
    """One transfer as an answer."""
    one = row.account
    return TransferOut(
        upgrade=row.upgrade,
        transfer=row.transfer,
        started_at=moment(row.started_us),
        at=moment(row.at_us),
        ended=row.ended,
        useful_bytes=one.useful_bytes,
        sent_bytes=one.sent_bytes,
        resent_bytes=one.resent_bytes,
        overhead_bytes=one.overhead_bytes,
        chunks_count=one.chunks,
        acks_count=one.acks,
        probes_count=one.probes,
        connections_count=one.connections,
        pauses=_pauses(one.pauses),
        goodput_bps=_quantiles(one.goodput_bps),
        delay_ms=_quantiles(one.delay_ms),
    )


def totals_out(totals: TransferTotals) -> TransferTotalsOut:
    """A campaign's transfers as an answer."""
    return TransferTotalsOut(
        transfers_count=totals.transfers,
        useful_bytes=totals.useful_bytes,
        sent_bytes=totals.sent_bytes,
        resent_bytes=totals.resent_bytes,
        overhead_bytes=totals.overhead_bytes,
        wasted_ratio=round(totals.wasted_ratio, 6),
        pauses=_pauses(totals.pauses),
        goodput_p50_bps=None if totals.goodput_p50_bps is None else round(totals.goodput_p50_bps, 1),
        delay_p95_ms=None if totals.delay_p95_ms is None else round(totals.delay_p95_ms, 1),
    )


def _pauses(pauses: Mapping[str, Pause]) -> dict[str, PauseOut]:
    return {cause: PauseOut(count=pause.count, total_s=round(pause.seconds, 3)) for cause, pause in pauses.items()}


def _quantiles(found: Quantiles | None) -> QuantilesOut | None:
    if found is None:
        return None
    p10, p50, p90, p95, p99 = (round(value, 1) for value in (found.p10, found.p50, found.p90, found.p95, found.p99))
    return QuantilesOut(p10=p10, p50=p50, p90=p90, p95=p95, p99=p99, count=found.count)
