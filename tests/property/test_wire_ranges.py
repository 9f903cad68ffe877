"""RangeSet against the simplest model there is: a set of integers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.errors import WireError
from gateway.wire.ranges import RangeSet

TOP = 40
EDGES = st.integers(0, TOP)
SPANS = st.tuples(EDGES, EDGES)
MANY_SPANS = st.lists(SPANS, max_size=12)


def members(ranges: RangeSet) -> set[int]:
    return {item for start, stop in ranges for item in range(start, stop)}


def model_of(spans: list[tuple[int, int]]) -> set[int]:
    return {item for start, stop in spans for item in range(start, stop)}


class RangeSetMachine(RuleBasedStateMachine):
    """Any sequence of additions and removals leaves exactly what a set would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges = RangeSet()
        self.model: set[int] = set()

    @rule(span=SPANS)
    def add(self, span: tuple[int, int]) -> None:
        self.ranges.add(*span)
        self.model |= set(range(*span))

    @rule(span=SPANS)
    def remove(self, span: tuple[int, int]) -> None:
        self.ranges.remove(*span)
        self.model -= set(range(*span))

    @rule(span=SPANS)
    def gaps(self, span: tuple[int, int]) -> None:
        gaps = list(self.ranges.gaps(*span))

        assert model_of(gaps) == set(range(*span)) - self.model
        assert gaps == list(RangeSet(gaps))

    @rule(span=SPANS)
    def covers(self, span: tuple[int, int]) -> None:
        assert self.ranges.covers(*span) == (set(range(*span)) <= self.model)

    @rule(limit=st.integers(0, 5))
    def to_wire(self, limit: int) -> None:
        assert self.ranges.to_wire(limit) == tuple(self.ranges)[:limit]
        assert RangeSet.from_wire(self.ranges.to_wire(TOP), stop=TOP) == self.ranges

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert members(self.ranges) == self.model
        assert self.ranges.count == len(self.model)
        assert self.ranges.last_stop == max(self.model, default=-1) + 1

    @invariant()
    def is_ascending_without_touching(self) -> None:
        at = -1
        for start, stop in self.ranges:
            assert at < start < stop
            at = stop


RangeSetMachine.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestRangeSetMachine = RangeSetMachine.TestCase


@given(MANY_SPANS)
def test_the_order_of_additions_does_not_matter(spans: list[tuple[int, int]]) -> None:
    forwards, backwards = RangeSet(spans), RangeSet(reversed(spans))

    assert forwards == backwards
    assert members(forwards) == model_of(spans)
    assert forwards.first == next(iter(forwards), None)
    assert len(forwards) == len(list(forwards))


@given(MANY_SPANS, EDGES)
def test_an_integer_is_in_or_not(spans: list[tuple[int, int]], item: int) -> None:
    assert (item in RangeSet(spans)) == (item in model_of(spans))


@given(st.lists(SPANS, max_size=6).map(tuple), EDGES)
def test_ranges_from_the_air_are_taken_as_they_stand_or_refused(ranges: tuple[tuple[int, int], ...], stop: int) -> None:
    taken = RangeSet(ranges)
    if taken.to_wire(TOP) == ranges and taken.last_stop <= stop:
        assert RangeSet.from_wire(ranges, stop=stop) == taken
        return

    with pytest.raises(WireError) as caught:
        RangeSet.from_wire(ranges, stop=stop)
    assert caught.value.code == "ranges_invalid"


def test_a_range_set_cannot_be_a_key() -> None:
    with pytest.raises(TypeError):
        hash(RangeSet())


def test_a_range_set_equals_only_a_range_set() -> None:
    assert RangeSet([(1, 2)]) != [(1, 2)]
    assert repr(RangeSet([(1, 2), (4, 6)])) == "RangeSet([(1, 2), (4, 6)])"
