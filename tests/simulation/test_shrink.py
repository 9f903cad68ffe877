"""A broken story is told with no more faults than it needs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation import world
from tests.simulation.faults import Fault, Kind, Story, deal
from tests.simulation.inspector import Inspector
from tests.simulation.judge import BrokenError, Invariant
from tests.simulation.shrink import shrink
from tests.simulation.station import Station
from tests.simulation.store import Store


def _story(*kinds: Kind) -> Story:
    faults = tuple(
        Fault(number=number, kind=kind, at_s=1.0 + number, terminal=0, value=0.5, for_s=1.0)
        for number, kind in enumerate(kinds)
    )
    return replace(deal(0), faults=faults)


def test_only_what_breaks_the_invariant_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here two of seven faults do, together."""

    def over(_: Inspector, station: Station, store: Store, *, forgets: bool) -> None:
        struck = {what for _, who, what, _ in station.clock.log if who == "fault"}
        if {Kind.BREAK.value, Kind.INSPECT.value} <= struck:
            raise BrokenError(Invariant.OUTCOME, "both")

    monkeypatch.setattr(Inspector, "over", over)
    kinds = (Kind.BULK_BREAK, Kind.BREAK, Kind.LATE_WILL, Kind.DUPLICATE, Kind.LOSE_ACKS, Kind.INSPECT, Kind.SLOW_LINK)
    story = _story(*kinds)
    outcome = world.play(story)
    assert outcome.broken is not None
    assert outcome.broken.invariant is Invariant.OUTCOME

    assert [fault.kind for fault in shrink(story, Invariant.OUTCOME).faults] == [Kind.BREAK, Kind.INSPECT]


def test_a_story_without_faults_ends_well() -> None:
    outcome = world.play(_story())

    assert outcome.broken is None
    assert set(outcome.states) == {"succeeded"}
