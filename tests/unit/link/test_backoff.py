"""Delays between connects, with chance and lengths of life as plain numbers."""

from __future__ import annotations

import pytest

from gateway.link.backoff import RIVAL_AFTER, Backoff


def backoff() -> Backoff:
    return Backoff(base_s=1.0, cap_s=30.0, away_cap_s=5.0, stable_s=60.0)


def test_ceiling_doubles_from_base_to_a_low_cap_while_the_broker_is_away() -> None:
    delays = backoff()

    assert [delays.failed(chance=1.0) for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_broker_that_was_away_after_some_losses_is_not_waited_for_longer() -> None:
    """Three restarts within a minute, and then one that takes a while: it is found within seconds of its return."""
    delays = backoff()
    for _ in range(3):
        delays.ended(lived_s=5.0, chance=1.0)
        delays.failed(chance=1.0)

    assert delays.ended(lived_s=5.0, chance=1.0) == 8.0
    assert [delays.failed(chance=1.0) for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]


def test_jitter_is_full() -> None:
    assert backoff().failed(chance=0.0) == 0.0
    assert backoff().failed(chance=0.25) == 0.25


def test_years_of_failures_do_not_overflow() -> None:
    delays = backoff()

    assert [delays.failed(chance=1.0) for _ in range(5_000)][-1] == 5.0
    assert [delays.ended(lived_s=1.0, chance=1.0) for _ in range(5_000)][-1] == 30.0


def test_connection_that_lasted_starts_again_at_base() -> None:
    delays = backoff()
    for _ in range(4):
        delays.failed(chance=1.0)

    assert delays.ended(lived_s=60.0, chance=1.0) == 1.0


def test_connection_that_did_not_last_keeps_the_ceiling_rising() -> None:
    """A broker that accepts and drops us at once is not hammered."""
    delays = backoff()

    assert [delays.ended(lived_s=0.1, chance=1.0) for _ in range(3)] == [1.0, 2.0, 4.0]


def test_rival_is_suspected_after_short_lives_in_a_row() -> None:
    delays = backoff()

    seen = []
    for _ in range(RIVAL_AFTER):
        seen.append(delays.rival)
        delays.ended(lived_s=0.5, chance=0.5)

    assert seen == [False] * RIVAL_AFTER
    assert delays.rival


@pytest.mark.parametrize("lasting", [True, False], ids=["a long life", "a broker that was away"])
def test_rival_is_no_longer_suspected_after(lasting: bool) -> None:  # noqa: FBT001  # the two cases
    delays = backoff()
    for _ in range(RIVAL_AFTER):
        delays.ended(lived_s=0.5, chance=0.5)

    if lasting:
        delays.ended(lived_s=61.0, chance=0.5)
    else:
        delays.failed(chance=0.5)

    assert not delays.rival
