"""Who is back after the broker's death, and how fast orders go out again, from looks at the store."""

from __future__ import annotations

import math

import pytest

from bench.storm import Row, Storm, most_per_s, steepest_per_s


def row(name: str, epoch: int, counter: int, *, online: bool = True) -> Row:
    """A terminal in the store."""
    return Row(name, epoch, online, counter)


def test_a_terminal_is_back_in_a_new_session_and_not_before() -> None:
    storm = Storm([row("t1", 1, 5), row("t2", 1, 5)], 10.0)
    storm.look([row("t1", 1, 5), row("t2", 2, 5, online=False)], 11.0)
    storm.look([row("t1", 2, 5), row("t2", 2, 5)], 12.0)
    storm.look([row("t1", 2, 5), row("t2", 3, 5)], 13.0)

    assert storm.back_at == {"t1": 12.0, "t2": 12.0}
    assert storm.back_s == 2.0


def test_a_fleet_of_which_too_many_stay_away_is_never_back() -> None:
    storm = Storm([row("t1", 1, 5), row("t2", 1, 5)], 10.0)
    storm.look([row("t1", 2, 5)], 11.0)

    assert math.isnan(storm.back_s)


def test_orders_count_from_the_new_session_on() -> None:
    """What was decided while nobody could hear it went nowhere."""
    storm = Storm([row("t1", 1, 5), row("t2", 1, 5)], 10.0)
    storm.look([row("t1", 1, 6), row("t2", 1, 5)], 11.0)
    storm.look([row("t1", 2, 6), row("t2", 2, 6)], 12.0)
    storm.look([row("t1", 2, 7), row("t2", 2, 8)], 13.0)

    assert storm.ordered_at == {"t2": 12.0, "t1": 13.0}
    assert (storm.in_vain("t1"), storm.in_vain("t2")) == (1, 0)


def test_the_most_in_a_window_is_found_wherever_it_lies() -> None:
    assert most_per_s([], 5.0) == 0.0
    assert most_per_s([0.0, 9.0, 10.0, 11.0, 13.9, 30.0], 5.0) == pytest.approx(0.8)


def test_the_steepest_rise_of_a_counter_is_found_over_whole_windows() -> None:
    assert steepest_per_s([(0.0, 0), (1.0, 100)], 5.0) == 0.0
    assert steepest_per_s([(0.0, 0), (5.0, 10), (10.0, 60), (15.0, 70)], 5.0) == pytest.approx(10.0)
