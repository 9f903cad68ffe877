"""Seeds in batches, on as many processes as wanted. What comes back depends on the seeds alone, not on who played them."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.simulation.faults import Kind, deal
from tests.simulation.judge import Invariant
from tests.simulation.world import play

#: Seeds for one process at a time.
BATCH: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What is left of a story that was played."""

    seed: int
    digest: str
    faults: Counter[Kind]
    states: tuple[str, ...]
    steps: int
    checks: int
    lasted_s: float
    """In virtual time."""
    cpu_s: float
    broken: Invariant | None
    text: str


def play_one(seed: int) -> Played:
    """Play a seed."""
    began = time.process_time()
    outcome = play(deal(seed))
    return Played(
        seed=seed,
        digest=outcome.digest,
        faults=Counter(fault.kind for fault in outcome.story.faults),
        states=outcome.states,
        steps=outcome.steps,
        checks=outcome.checks,
        lasted_s=outcome.lasted_s,
        cpu_s=time.process_time() - began,
        broken=outcome.broken.invariant if outcome.broken is not None else None,
        text=outcome.broken.text if outcome.broken is not None else "",
    )


def play_batch(seeds: range) -> list[Played]:
    """Play some seeds. A story is a knot of objects that know each other; they are swept up together at the end."""
    gc.disable()
    played = [play_one(seed) for seed in seeds]
    gc.collect()
    return played


def play_all(seeds: range, jobs: int) -> Iterator[list[Played]]:
    """Play all ``seeds``; the batches come as they are done."""
    batches = [seeds[at : at + BATCH] for at in range(0, len(seeds), BATCH)]
    if jobs == 1:
        yield from map(play_batch, batches)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(play_batch, batches)
