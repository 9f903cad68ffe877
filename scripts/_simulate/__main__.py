"""A run of the simulation: exit code 0 when every invariant held in every story, 1 when one broke."""

from __future__ import annotations

import os
import time
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scripts._simulate import show
from scripts._simulate.batch import Played, play_all
from tests.simulation.faults import Story, deal
from tests.simulation.shrink import shrink
from tests.simulation.world import part, play

#: After so many broken stories no more are played: the first ones say enough.
BROKEN_MAX: Final = 5


def main(
    seeds: Annotated[int, typer.Option(min=1, help="How many stories.")] = 2000,
    first_seed: Annotated[int, typer.Option(min=0, help="The first one.")] = 0,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one for each core.")] = 0,
    only: Annotated[str, typer.Option(help="Only these faults of the first story, as 0,2,3; or none.")] = "",
    *,
    story: Annotated[bool, typer.Option("--story", help="Tell every event of the first story, or of each that broke.")] = False,
) -> None:
    """Play upgrades in virtual time under seeded faults, and check the invariants of docs/reliability.md at every step."""
    out = Console()
    if only or (story and seeds == 1):
        raise typer.Exit(_tell(out, _chosen(deal(first_seed), only), whole=story))
    began = time.monotonic()
    played = _play(out, range(first_seed, first_seed + seeds), jobs or os.cpu_count() or 1)
    show.faults(out, played)
    show.verdicts(out, played)
    show.totals(out, played, time.monotonic() - began)
    broken = [one for one in played if one.broken is not None]
    for one in broken[:BROKEN_MAX]:
        out.print(f"\nseed {one.seed}: shrinking ...")
        if one.broken is not None:
            _tell(out, shrink(deal(one.seed), one.broken), whole=story)
    raise typer.Exit(1 if broken else 0)


def _chosen(whole: Story, only: str) -> Story:
    if not only:
        return whole
    try:
        numbers = frozenset(int(number) for number in only.split(",")) if only != "none" else frozenset[int]()
    except ValueError:
        raise typer.BadParameter(f"--only takes numbers with commas between, or none; found {only!r}") from None
    return part(whole, numbers)


def _tell(out: Console, story: Story, *, whole: bool) -> int:
    """Play one story and tell it; the exit code."""
    outcome = play(story)
    show.breach(out, outcome, whole=whole)
    if outcome.broken is None:
        out.print(f"every invariant held; upgrades: {', '.join(outcome.states)}")
    return 0 if outcome.broken is None else 1


def _play(out: Console, seeds: range, jobs: int) -> list[Played]:
    """All of ``seeds`` in their order, or those that were played until too many had broken."""
    played: list[Played] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task("playing", total=len(seeds))
        for batch in play_all(seeds, jobs):
            played += batch
            progress.advance(task, len(batch))
            if sum(one.broken is not None for one in played) >= BROKEN_MAX:
                break
    return sorted(played, key=lambda one: one.seed)


if __name__ == "__main__":
    typer.run(main)
