"""How long the phases of upgrades really took, from the states that they passed; what ``estimate.measured_ranges`` is fed with.

A phase is measured once it is over: its states' times added up, so that an upgrade that was tried twice counts once and with
both tries. Phases that are still going on are left out, which makes early figures of a campaign look better than they are; the
quantiles of ``measured_ranges`` are moved apart for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from gateway.core.estimate import STATES, Phase
from gateway.core.states import FINAL, UpgradeState

_ORDER: Final = tuple(Phase)
_PHASE_OF: Final = {state: phase for phase, states in STATES.items() for state in states}

#: A state and the time (seconds, any origin) at which it was entered.
Step = tuple[UpgradeState, float]


def phase_durations(steps: Sequence[Step]) -> dict[Phase, float]:
    """Seconds that one upgrade spent in each phase that is over, from its steps in the order in which they happened.

    Phases that the upgrade never entered are missing, as are the one that it is in and the one in which it ended badly. Time in
    ``scheduled`` between two tries counts to ``plan``.
    """
    spent: dict[Phase, float] = {}
    for (state, entered), (_, left) in pairwise(steps):
        phase = _PHASE_OF.get(state)
        if phase is not None:
            spent[phase] = spent.get(phase, 0.0) + max(0.0, left - entered)
    over = _phases_over([state for state, _ in steps])
    return {phase: spent[phase] for phase in _ORDER[:over] if phase in spent}


def by_phase(upgrades: Iterable[Sequence[Step]]) -> dict[str, list[float]]:
    """The measured seconds of many upgrades by the phase's name: the argument of ``estimate.measured_ranges``."""
    samples: dict[str, list[float]] = {}
    for steps in upgrades:
        for phase, seconds in phase_durations(steps).items():
            samples.setdefault(phase.value, []).append(seconds)
    return samples


def _phases_over(states: Sequence[UpgradeState]) -> int:
    """How many phases, from the first, are over for good."""
    if not states:
        return 0
    if states[-1] is UpgradeState.SUCCEEDED:
        return len(_ORDER)

    entered = [_ORDER.index(_PHASE_OF[state]) for state in states if state in _PHASE_OF]
    if states[-1] in FINAL:
        return max(entered, default=0)
    return entered[-1]
