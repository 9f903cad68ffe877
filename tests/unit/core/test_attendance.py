"""Who is here, told by numbers and a grace."""

from __future__ import annotations

from gateway.core.attendance import ASK_AGAIN_S, OFFLINE_GRACE_S, UNSURE_S, Attendance, Terms
from gateway.wire.messages import Presence


def test_a_birth_opens_a_session_and_its_repeat_does_not() -> None:
    """A hello follows every birth with the same epoch."""
    here = Attendance(Terms())

    assert here.take(Presence(epoch=3, online=True), 1.0)
    assert not here.born(3, 2.0)
    assert here.online
    assert here.born_at == 1.0


def test_an_older_epoch_changes_nothing() -> None:
    """Neither its birth nor its death."""
    here = Attendance(Terms())
    here.born(5, 1.0)
    for online in (True, False):
        assert not here.take(Presence(epoch=4, online=online), 1.0)

    assert (here.epoch, here.online, here.deadline) == (5, True, float("inf"))


def test_a_death_counts_after_the_grace_unless_it_is_heard_before() -> None:
    """4G drops connections all day."""
    here = Attendance(Terms())
    here.born(1, 1.0)
    here.take(Presence(epoch=1, online=False), 100.0)
    here.tick(100.0 + OFFLINE_GRACE_S - 0.1)
    assert here.online

    here.tick(100.0 + OFFLINE_GRACE_S)
    assert not here.online


def test_doubt_ends_with_a_sign_of_life_or_a_minute_later() -> None:
    """The gateway was away."""
    here = Attendance(Terms())
    here.born(1, 1.0)
    here.doubt(100.0)
    assert here.deadline == 100.0 + UNSURE_S

    here.born(1, 1.0)
    here.tick(1e9)
    assert here.online


def test_who_is_in_doubt_is_asked_again_until_the_minute_is_over() -> None:
    """One lost question must not make a connected terminal count as away."""
    here = Attendance(Terms())
    here.born(1, 1.0)
    here.doubt(100.0)
    asked: list[float] = []
    while (at := here.due_at) < float("inf"):
        if here.tick(at):
            asked.append(at - 100.0)
    assert asked == [ASK_AGAIN_S, 2 * ASK_AGAIN_S, 3 * ASK_AGAIN_S]
    assert not here.online

    here.born(1, 200.0)
    here.doubt(200.0)
    here.born(1, 201.0)
    assert here.due_at == float("inf")


def test_a_speaker_that_counts_as_offline_is_asked_now_and_then() -> None:
    """Not for every message."""
    here = Attendance(Terms())

    assert [here.should_ask(at) for at in (100.0, 101.0, 100.0 + OFFLINE_GRACE_S)] == [True, False, True]
    here.born(1, 1.0)
    assert not here.should_ask(1e9)


def test_the_welcome_carries_the_terms() -> None:
    """And the gateway's time."""
    welcome = Terms(keepalive_s=30).welcome(7, 12.5, hello=True)

    assert (welcome.epoch, welcome.now_ms, welcome.keepalive_s, welcome.hello) == (7, 12_500, 30, True)
