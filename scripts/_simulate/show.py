"""What a person sees at the end: faults by kind, invariants, and the story of what broke one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts._simulate.batch import Played
from tests.simulation.faults import Kind, Story
from tests.simulation.judge import Invariant
from tests.simulation.world import Outcome

#: Lines of a story that are shown without ``--story``: its end.
_LAST: Final = 12


def faults(out: Console, played: Sequence[Played]) -> None:
    """How often each kind of fault was dealt, and in how many stories."""
    dealt: Counter[Kind] = Counter()
    stories: Counter[Kind] = Counter()
    for one in played:
        dealt.update(one.faults)
        stories.update(one.faults.keys())
    table = Table(title="Faults", title_justify="left")
    for name in ("what", "times", "stories"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for kind in Kind:
        table.add_row(kind.value, str(dealt[kind]), str(stories[kind]))
    table.add_row("all", str(dealt.total()), str(len(played)), style="bold")
    out.print(table)


def verdicts(out: Console, played: Sequence[Played]) -> None:
    """Each invariant, and in how many stories it broke."""
    broken = Counter(one.broken for one in played if one.broken is not None)
    table = Table(title="Invariants", title_justify="left")
    table.add_column("what must hold")
    table.add_column("broken", justify="right")
    for invariant in Invariant:
        count = broken[invariant]
        table.add_row(invariant.value, Text(str(count), style="bold red" if count else "green"))
    out.print(table)


def totals(out: Console, played: Sequence[Played], took_s: float) -> None:
    """The run in three lines."""
    states = Counter(state for one in played for state in one.states)
    digest = hashlib.sha256("".join(one.digest for one in played).encode()).hexdigest()
    count = len(played)
    out.print(
        f"{count} stories, {sum(one.faults.total() for one in played)} faults, {sum(one.steps for one in played)} steps, "
        f"{sum(one.checks for one in played)} checks, {sum(one.lasted_s for one in played) / 86_400:.0f} days of virtual time"
    )
    out.print("upgrades: " + ", ".join(f"{number} {state}" for state, number in states.most_common()))
    cpu_s = sum(one.cpu_s for one in played)
    out.print(f"{took_s:.0f} s, {cpu_s / max(1, count):.3f} CPU s for each story; hash of all that happened: {digest[:16]}")


def breach(out: Console, outcome: Outcome, *, whole: bool) -> None:
    """A story, its faults, and how it is played again."""
    broken, story = outcome.broken, outcome.story
    if broken is not None:
        out.print(Text(f"BROKEN {broken.invariant}: {broken.text}", style="bold red"), soft_wrap=True)
    for fault in story.faults:
        out.print(Text(f"  fault {fault}"), soft_wrap=True)
    lines = outcome.log if whole else outcome.log[-_LAST:]
    for at_s, who, what, facts in lines:
        out.print(Text(f"  {at_s:12.3f}  {who:5}  {what}  {facts}"), soft_wrap=True)
    out.print(Text(f"again: {again(story)}"), soft_wrap=True)


def again(story: Story) -> str:
    """The command that plays it again, event by event."""
    numbers = ",".join(str(fault.number) for fault in story.faults) or "none"
    return f"scripts/simulate --seeds 1 --first-seed {story.seed} --only {numbers} --story"
