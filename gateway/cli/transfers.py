"""How the costs of transfers look on the command line; used by the commands that show an upgrade, a terminal or a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.api.transfer_models import PauseOut, TransferOut, TransferTotalsOut
from gateway.cli.output import Cell, print_table, seconds, size


def print_transfers(transfers: Sequence[TransferOut], *, with_upgrade: bool = False) -> None:
    """A line for each; nothing when there was none yet."""
    if not transfers:
        return
    headings = ["transfer", "started", "ended", "useful", "sent again", "overhead", "connections"]
    headings += ["goodput p10/p50/p90 per s", "queue delay p50/p95", "stood still"]
    rows: list[list[Cell]] = [
        [
            f"{one.upgrade} {one.transfer}" if with_upgrade else str(one.transfer),
            one.started_at,
            one.ended or "open",
            size(one.useful_bytes),
            size(one.resent_bytes),
            size(one.overhead_bytes),
            one.connections_count,
            " / ".join(size(rate) for rate in (one.goodput_bps.p10, one.goodput_bps.p50, one.goodput_bps.p90))
            if one.goodput_bps
            else None,
            f"{one.delay_ms.p50:.0f} / {one.delay_ms.p95:.0f} ms" if one.delay_ms else None,
            pauses(one.pauses),
        ]
        for one in transfers
    ]
    print_table(headings, rows)


def totals(found: TransferTotalsOut) -> dict[str, Cell]:
    """A campaign's transfers as facts; empty before the first."""
    if not found.transfers_count:
        return {}
    facts: dict[str, Cell] = {
        "transfers": f"{found.transfers_count}, {size(found.sent_bytes)} sent, {size(found.resent_bytes)} of it again "
        f"({100 * found.wasted_ratio:.2f} %), overhead {size(found.overhead_bytes)}",
        "stood still": pauses(found.pauses),
    }
    if found.goodput_p50_bps is not None:
        facts["goodput"] = f"{size(found.goodput_p50_bps)} per s (median)"
    if found.delay_p95_ms is not None:
        facts["queue delay"] = f"{found.delay_p95_ms:.0f} ms (95 %)"
    return facts


def pauses(found: Mapping[str, PauseOut]) -> str:
    """Pauses by cause in one line."""
    return ", ".join(f"{cause} {one.count}x {seconds(one.total_s)}" for cause, one in sorted(found.items())) or "never"
