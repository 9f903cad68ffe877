"""Queueing delay out of one-way delays with an unknown offset."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.transfer.delays import FILTER_ACKS, HISTORY_MIN, REBASE_S, Delays

OFFSET_MS = -123_456.0
"""The terminal's clock has nothing to do with the gateway's."""


def test_only_differences_matter() -> None:
    """The least delay seen is the empty queue."""
    delays = Delays()
    assert [delays.take(OFFSET_MS + ms, 1.0, alone=False) for ms in (40, 40, 140, 140, 140)] == [0, 0, 0, 0, 0]
    assert delays.take(OFFSET_MS + 140, 1.5, alone=False) == 100


def test_one_late_chunk_is_no_queue() -> None:
    """The least of the last four counts."""
    delays = Delays()
    for _ in range(FILTER_ACKS):
        delays.take(40, 1.0, alone=False)
    assert delays.take(900, 1.1, alone=False) == 0


def test_a_base_is_forgotten_after_ten_minutes() -> None:
    """Routes change."""
    delays = Delays()
    delays.take(10, 0.0, alone=False)
    for minute in range(1, HISTORY_MIN):
        assert delays.take(50, 60.0 * minute, alone=False) >= 0
    assert delays.take(50, 60.0 * HISTORY_MIN, alone=False) == 0


def test_it_knows_how_long_nothing_has_confirmed_its_base() -> None:
    """Within ten milliseconds is near enough."""
    delays = Delays()
    assert delays.unconfirmed_s(5.0) == 0
    delays.take(10, 0.0, alone=False)
    delays.take(19, 60.0, alone=False)
    delays.take(60, 90.0, alone=False)
    assert delays.unconfirmed_s(100.0) == 40.0


def test_a_longer_path_is_believed_once_nothing_of_ours_can_be_the_queue() -> None:
    """With one chunk in flight for five seconds; a clock that was stepped looks the same."""
    delays = Delays()
    delays.take(10, 0.0, alone=True)
    queues = [delays.take(2010, 10 + second, alone=True) for second in range(12)]
    assert queues[FILTER_ACKS] == 2000
    assert queues[FILTER_ACKS + int(REBASE_S) :] == [0] * (12 - FILTER_ACKS - int(REBASE_S))


def test_a_queue_of_our_own_is_never_taken_for_the_path() -> None:
    """While more is in flight."""
    delays = Delays()
    delays.take(10, 0.0, alone=False)
    assert [delays.take(510, 10.0 + second, alone=False) for second in range(30)][-1] == 500


@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), st.floats(0, 300), st.booleans()), max_size=80))
def test_a_queue_is_never_negative_and_never_beyond_what_was_seen(samples: list[tuple[int, float, bool]]) -> None:
    """Whatever a terminal claims."""
    delays, now, seen = Delays(), 0.0, []
    for delay_ms, step_s, alone in samples:
        now += step_s
        seen.append(delay_ms)
        assert 0 <= delays.take(delay_ms, now, alone=alone) <= max(seen) - min(seen)
