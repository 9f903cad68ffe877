"""What the demo shows at the end: the table of terminals, the estimate beside what was measured, and the proof by bytes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.api.upgrade_models import UpgradeDetailOut
from gateway.cli.output import cell, size
from gateway.core.estimate import Range
from gateway.services.durations import Spread, spread_of
from scripts._demo.demands import demand_of
from scripts._demo.evidence import Ending, Own
from scripts._demo.forecast import Forecast
from scripts._demo.judge import REPEATED_MAX_BYTES

WIDTH_PIPED: Final = 160
_PHASES: Final = ("prepare", "execute", "verify", "operate")


def console() -> Console:
    """Standard output."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_PIPED, highlight=False)


def terminals(out: Console, ending: Ending, forecast: Forecast, fleet: Sequence[str]) -> None:
    """One line a terminal; phases in seconds, those outside their estimate in yellow."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("terminal", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("code", no_wrap=True)
    table.add_column("tries", justify="right")
    for phase in _PHASES:
        table.add_column(f"{phase} s\n[not bold dim]{_span(forecast.here[phase])}[/]", justify="right")
    for heading in ("useful", "wasted", "of it\nverified"):
        table.add_column(heading, justify="right")
    table.add_column("its day", no_wrap=True)
    for terminal in fleet:
        told, own = ending.upgrades.get(terminal), ending.own.get(terminal)
        if told is not None and own is not None:
            table.add_row(*_row(told, own, forecast))
    out.print(table)


def phases(out: Console, ending: Ending, forecast: Forecast, speed: float) -> None:
    """The estimate given beforehand beside what was measured."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("phase", "estimate for the field", f"on this clock (x{speed:g})", "measured (10 to 90 %)", "upgrades"):
        table.add_column(heading)
    for phase in _PHASES:
        spread = _measured(ending, phase)
        measured = f"{spread.low_s:.1f} to {spread.high_s:.1f} s" if spread else "-"
        count = str(spread.count) if spread else "-"
        table.add_row(phase, str(forecast.field[phase]), str(forecast.here[phase]), measured, count)
    campaign = Text(f"{ending.seconds:.1f} s", style="" if _within(ending.seconds, forecast.campaign_here) else "yellow")
    table.add_row("campaign", str(forecast.campaign_field), str(forecast.campaign_here), campaign, str(ending.look.total_count))
    out.print(table)
    kill = ending.kill
    if kill is not None and ending.look.campaign.finished_at is not None:
        left = kill.look.remaining
        took_s = (ending.look.campaign.finished_at - kill.look.at).total_seconds()
        out.print(
            f"just before the kill the gateway, by what it had measured, said {left.low_s:.0f} to {left.high_s:.0f} s more "
            f"for 95 % of the terminals; the last one took {took_s:.0f} s"
        )


def proof(out: Console, ending: Ending) -> None:
    """What went over the air, and what of it twice."""
    own = ending.own
    repeated = {name: one.repeated_bytes for name, one in own.items() if one.repeated_bytes}
    came = sum(one.received_bytes for one in own.values())
    useful = sum(_useful(told, own[name]) for name, told in ending.upgrades.items() if name in own)
    out.print(f"bytes: {size(came)} came over the air, {size(useful)} of it useful, {size(came - useful)} wasted")
    kill = ending.kill
    if kill is not None:
        resumed = [one.terminal for one in kill.moving if one.terminal in own and not own[one.terminal].power_cuts]
        before = sum(kill.own[name].received_bytes for name in resumed)
        after = sum(own[name].received_bytes for name in resumed) - before
        missing = sum(ending.upgrades[name].package_bytes for name in resumed) - before
        out.print(
            f"resume: {len(resumed)} terminals had received {size(before)} at the kill and lacked {size(missing)}; "
            f"once the gateway was back they were sent {size(after)}"
        )
    if repeated:
        said = ", ".join(f"{name} {size(count)}" for name, count in sorted(repeated.items()))
        most = size(REPEATED_MAX_BYTES)
        out.print(
            f"proof: bytes of verified segments that came again, by the terminals' own count: {said} (tolerated: {most} each)"
        )
    else:
        out.print("proof: not one byte of a verified segment was sent again, by the terminals' own count")


def verdict(out: Console, wrong: Sequence[str], count: int) -> int:
    """Every difference on a line of its own; the demo's exit code."""
    for line in wrong:
        out.print(Text(f"DIFFERENCE  {line}", style="bold red"))
    if not wrong:
        out.print(Text(f"all {count} terminals ended as the scenario demands", style="bold green"))
    return 1 if wrong else 0


def _row(told: UpgradeDetailOut, own: Own, forecast: Forecast) -> list[Text]:
    spent = {one.phase: one.spent_s for one in told.phases}
    useful = _useful(told, own)
    cells = [cell(told.terminal), cell(told.state), cell(told.code or "ok"), cell(told.attempt)]
    for phase in _PHASES:
        took_s = spent.get(phase)
        style = "" if took_s is None or _within(took_s, forecast.here[phase]) else "yellow"
        cells.append(cell(None) if took_s is None else Text(f"{took_s:.1f}", style=style))
    wasted = own.received_bytes - useful
    cells += [cell(size(useful)), Text(size(wasted), style="yellow" if wasted else ""), cell(size(own.repeated_bytes))]
    return [*cells, cell(demand_of(told.terminal).story)]


def _useful(told: UpgradeDetailOut, own: Own) -> int:
    """Bytes of the package that the terminal has verified, out of all that came."""
    return min(told.package_bytes, own.useful_bytes)


def _measured(ending: Ending, phase: str) -> Spread | None:
    """What the upgrades that left a phase took in it."""
    found = [one.spent_s for told in ending.upgrades.values() for one in told.phases if one.phase == phase and one.done]
    return spread_of(found) if found else None


def _within(seconds: float, span: Range) -> bool:
    return span.low_s <= seconds <= span.high_s


def _span(span: Range) -> str:
    return f"{span.low_s:.1f}-{span.high_s:.0f}"
