"""What a person sees: one line that moves while it runs (now and then where there is no screen), and tables at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts._chaos.strike import Strike
from scripts._chaos.table import GATEWAY_POINTS, TERMINAL_POINTS, Kind, Target

_BREACHES_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One moment of a run."""

    elapsed_s: float
    of_s: float
    under_way: Sequence[str]
    struck: int
    done: int
    open: int
    phase: str


Draw = Callable[[Look], None]
"""Shows a moment."""


def line(look: Look) -> str:
    """The moment in one line."""
    under_way = "; ".join(look.under_way) or "nothing is broken now"
    return (
        f"{look.elapsed_s:5.0f} of {look.of_s:.0f} s, {look.phase}: {look.struck} faults, "
        f"{look.done} upgrades ended, {look.open} open; {under_way}"
    )


def faults(out: Console, strikes: Sequence[Strike]) -> None:
    """How often each kind of fault hit whom."""
    hits: Counter[tuple[Target, Kind]] = Counter()
    missed: Counter[tuple[Target, Kind]] = Counter()
    for strike in strikes:
        (hits if strike.hit else missed)[strike.fault.target, strike.fault.kind] += 1
    table = Table(title="Faults", title_justify="left")
    for name, right in (("done to", False), ("what", False), ("times", True), ("not reached", True)):
        table.add_column(name, justify="right" if right else "left")
    for target, kind in sorted(hits.keys() | missed.keys()):
        table.add_row(target, kind, str(hits[target, kind]), str(missed[target, kind] or ""))
    table.add_row("all", "", str(hits.total()), str(missed.total() or ""), style="bold")
    out.print(table)
    for target, points in ((Target.GATEWAY, GATEWAY_POINTS), (Target.TERMINALS, TERMINAL_POINTS)):
        reached = {one.fault.point for one in strikes if one.hit and one.fault.target is target and one.fault.point}
        out.print(f"{target}: died at {len(reached)} of {len(points)} points between durable steps")


def verdicts(out: Console, breaches: Mapping[str, Sequence[str]]) -> None:
    """Each invariant, and what breaks it."""
    table = Table(title="Invariants", title_justify="left")
    table.add_column("what must hold")
    table.add_column("breaches", justify="right")
    for name, lines in breaches.items():
        table.add_row(name, Text(str(len(lines)), style="bold red") if lines else Text("0", style="green"))
    out.print(table)
    for name, lines in breaches.items():
        for text in lines[:_BREACHES_SHOWN]:
            out.print(Text(f"BROKEN {name}: {text}", style="red"), soft_wrap=True)
        if len(lines) > _BREACHES_SHOWN:
            out.print(f"... and {len(lines) - _BREACHES_SHOWN} more")
