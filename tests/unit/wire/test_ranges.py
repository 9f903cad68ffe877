"""RangeSet by example; tests/property/test_wire_ranges.py compares it with a set."""

from __future__ import annotations

import pytest

from gateway.errors import WireError
from gateway.wire.ranges import RangeSet


def test_touching_ranges_merge_and_distant_ones_do_not() -> None:
    assert list(RangeSet([(0, 2), (4, 6), (2, 3)])) == [(0, 3), (4, 6)]
    assert list(RangeSet([(0, 2), (4, 6), (1, 5)])) == [(0, 6)]


def test_a_removal_cuts_a_range_in_two() -> None:
    ranges = RangeSet([(0, 10)])
    ranges.remove(3, 5)

    assert list(ranges) == [(0, 3), (5, 10)]


def test_gaps_are_what_is_missing_within_bounds() -> None:
    ranges = RangeSet([(2, 4), (6, 8)])

    assert list(ranges.gaps(0, 10)) == [(0, 2), (4, 6), (8, 10)]
    assert list(ranges.gaps(3, 7)) == [(4, 6)]
    assert list(ranges.gaps(2, 4)) == []
    assert list(ranges.gaps(5, 5)) == []
    assert list(RangeSet().gaps(1, 3)) == [(1, 3)]


def test_empty_spans_change_nothing() -> None:
    ranges = RangeSet([(5, 5), (7, 3)])
    ranges.remove(4, 4)

    assert not ranges
    assert ranges.first is None
    assert (ranges.last_stop, ranges.count) == (0, 0)
    assert ranges.covers(3, 3)


def test_only_so_many_ranges_go_on_the_air() -> None:
    assert RangeSet([(0, 1), (2, 3), (4, 5)]).to_wire(2) == ((0, 1), (2, 3))


@pytest.mark.parametrize("ranges", [((1, 1),), ((2, 1),), ((0, 2), (2, 3)), ((4, 5), (0, 1)), ((0, 11),), ((-2, 1),)])
def test_bad_ranges_from_the_air_are_refused(ranges: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(WireError) as caught:
        RangeSet.from_wire(ranges, stop=10)

    assert caught.value.code == "ranges_invalid"
