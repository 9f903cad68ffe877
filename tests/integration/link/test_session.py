"""One connection's beginning and end, with brokers that misbehave."""

from __future__ import annotations

import time
from dataclasses import replace

import anyio
import pytest

from gateway.errors import LinkError
from gateway.link.session import CLOSED, Session, open_session
from tests.harness.broker import free_port
from tests.integration.link.scripted import GRANTED, WELCOME, goodbye, scripted, settings, silence


def drop(topic: str, payload: bytes) -> None:
    raise AssertionError(topic, payload)


async def test_broker_that_is_away_is_a_link_error() -> None:
    with pytest.raises(LinkError, match="refused"):
        async with open_session(settings(free_port()), drop):
            raise AssertionError


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        pytest.param((b"\x20\x02\x00\x05",), "[Nn]ot authorized", id="CONNACK 5"),
        pytest.param((), "timed out", id="no CONNACK"),
        pytest.param((WELCOME,), "timed out", id="no SUBACK"),
        pytest.param((WELCOME, b"\x90\x03\x00\x01\x80"), "did not grant our subscriptions: t/#", id="filter refused"),
    ],
)
async def test_broker_that_does_not_welcome_us_is_a_link_error(answers: tuple[bytes, ...], said: str) -> None:
    async with scripted(silence, answers=answers) as line:
        with pytest.raises(LinkError, match=said):
            async with open_session(line, drop):
                raise AssertionError


async def test_connection_lost_while_subscribing_is_noticed_at_once() -> None:
    async with scripted(goodbye, answers=(WELCOME, b"\x90")) as line:
        started = time.monotonic()
        with pytest.raises(LinkError, match="connection was lost"):
            async with open_session(line, drop):
                raise AssertionError

    assert time.monotonic() - started < line.answer_timeout_s


async def test_loss_is_told_to_all_who_wait() -> None:
    told: list[str] = []

    async def publish(session: Session) -> None:
        try:
            await session.publish_confirmed("t/1", b"x")
        except LinkError as exc:
            told.append(exc.message)

    async with scripted(goodbye) as line, anyio.create_task_group() as group, open_session(line, drop) as session:
        group.start_soon(publish, session)
        assert await session.wait_lost() == CLOSED

    assert told == ["the connection was lost before the broker acknowledged"]
    assert not await session.room()


async def test_cancelled_while_the_broker_says_nothing() -> None:
    """Ends within the broker's time to answer; warnings about sockets left open would fail this test."""
    async with scripted(silence, answers=()) as line:
        started = time.monotonic()
        with anyio.move_on_after(0.05) as scope:
            async with open_session(line, drop):
                raise AssertionError

    assert scope.cancelled_caught
    assert time.monotonic() - started < line.answer_timeout_s + 1


async def test_packet_ids_in_use_are_not_given_again() -> None:
    async with (
        scripted(silence, answers=(WELCOME, GRANTED)) as line,
        open_session(replace(line, unconfirmed_messages=65_534, outgoing_bytes=10_000_000), drop) as session,
    ):
        assert session.write([("t/1", b"x")] * 3, 0, qos=1) == 3
        session.confirmed(2)
        session.confirmed(2)  # a broker that says it twice
        assert session.unconfirmed == 2

        assert session.write([("t/1", b"x")] * 65_532, 0, qos=1) == 65_532
        assert session.unconfirmed == 65_534


async def test_message_that_cannot_be_sent_takes_no_packet_id() -> None:
    async with scripted(silence) as line, open_session(line, drop) as session:
        with pytest.raises(ValueError, match="cannot publish"):
            session.write([("t/1", b"x"), ("t/+", b"x")], 0, qos=1)

        assert session.unconfirmed == 0
