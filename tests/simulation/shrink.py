"""The least part of a story's faults that still breaks the same invariant: delta debugging (Zeller and Hildebrandt, 2002)."""

from __future__ import annotations

from typing import Final

from tests.simulation.faults import Story
from tests.simulation.judge import Invariant
from tests.simulation.world import part, play

#: Stories played for one shrinking, at most.
TRIES_MAX: Final = 200


def shrink(story: Story, invariant: Invariant) -> Story:
    """``story`` with as few of its faults as break ``invariant``; taking away any one of them would mend it."""
    tries = 0

    def breaks(numbers: list[int]) -> bool:
        nonlocal tries
        tries += 1
        broken = play(part(story, frozenset(numbers))).broken
        return broken is not None and broken.invariant is invariant

    kept, pieces = [fault.number for fault in story.faults], 2
    while kept and tries < TRIES_MAX:
        size = -(-len(kept) // pieces)
        rests = [kept[:at] + kept[at + size :] for at in range(0, len(kept), size)]
        smaller = next((rest for rest in rests if breaks(rest)), None)
        if smaller is not None:
            kept, pieces = smaller, max(pieces - 1, 2)
        elif size == 1:
            break
        else:
            pieces = min(2 * pieces, len(kept))
    return part(story, frozenset(kept))
