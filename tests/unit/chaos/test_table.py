"""A seed deals the same faults again, and every row of the table comes up."""

from __future__ import annotations

from itertools import islice

import pytest

from scripts._chaos.table import GATEWAY_POINTS, TABLE, TERMINAL_POINTS, Kind, Target, deal, round_size

ROUND = round_size()


def test_same_seed_deals_the_same_faults() -> None:
    assert list(islice(deal(7), 200)) == list(islice(deal(7), 200))
    assert list(islice(deal(7), 200)) != list(islice(deal(8), 200))


def test_each_round_deals_every_row_and_a_few_rounds_every_point() -> None:
    first = list(islice(deal(3), ROUND))
    assert {(fault.target, fault.kind) for fault in first} == {(row.target, row.kind) for row in TABLE}

    many = list(islice(deal(3), 12 * ROUND))
    assert {fault.point for fault in many if fault.point and fault.target is Target.GATEWAY} == set(GATEWAY_POINTS)
    assert {fault.point for fault in many if fault.point and fault.target is Target.TERMINALS} == set(TERMINAL_POINTS)


def test_lengths_stay_within_the_table() -> None:
    spans = {(row.target, row.kind): row.lasts_s for row in TABLE}

    for fault in islice(deal(5), 500):
        low, high = spans[fault.target, fault.kind]
        assert low <= fault.lasts_s <= high


def test_short_run_deals_every_kind_that_it_has_time_for_within_half_a_minute() -> None:
    hand = list(islice(deal(1, short=True), round_size(short=True)))

    assert {(fault.target, fault.kind) for fault in hand} == {(row.target, row.kind) for row in TABLE if row.in_short}
    assert Kind.ZOMBIE not in {fault.kind for fault in hand}
    assert sum(fault.gap_s for fault in hand) < 30


@pytest.mark.parametrize("points", [GATEWAY_POINTS, TERMINAL_POINTS])
def test_points_are_a_place_and_a_step(points: tuple[str, ...]) -> None:
    assert len(set(points)) == len(points)
    assert all(point.count(":") == 1 for point in points)
