"""The private names that ``gateway.link.tap`` leans on, and what it does with a broker's bytes, good and bad."""

from __future__ import annotations

import inspect

import aiomqtt
import anyio
import pytest
from anyio.abc import SocketStream
from paho.mqtt import client as paho

from gateway.link.frames import publish_frames
from gateway.link.session import open_session
from tests.integration.link.scripted import scripted

DISCONNECT = b"\xe0\x00"


async def test_private_names_are_still_there() -> None:
    """An upgrade of aiomqtt or paho that takes one away fails here first, by its name."""
    inner = aiomqtt.Client("127.0.0.1")._client  # noqa: SLF001  # the subject of this test

    assert isinstance(inner, paho.Client)
    assert {"_sock", "_packet_queue", "_handle_publish", "_handle_pubackcomp"} <= set(dir(inner))
    assert list(inspect.signature(inner._packet_queue).parameters) == ["command", "packet", "mid", "qos", "info"]  # noqa: SLF001
    assert {"command", "packet"} <= set(inner._in_packet)  # noqa: SLF001


async def received(data: bytes, *, count: int, piece: int) -> tuple[list[tuple[str, bytes]], bytes]:
    """What arrives when a broker sends ``data`` in pieces of so many bytes, and the bytes that it gets back."""
    back = bytearray()
    closed = anyio.Event()

    async def script(stream: SocketStream) -> None:
        for at in range(0, len(data), piece):
            await stream.send(data[at : at + piece])
        async for answer in stream:
            back.extend(answer)
        closed.set()

    messages: list[tuple[str, bytes]] = []
    all_in = anyio.Event()

    def deliver(topic: str, payload: bytes) -> None:
        messages.append((topic, payload))
        if len(messages) == count:
            all_in.set()

    async with scripted(script) as settings:
        with anyio.fail_after(5):
            async with open_session(settings, deliver):
                await all_in.wait()
            await closed.wait()
    return messages, bytes(back)


@pytest.mark.parametrize("piece", [1, 3, 1000, 1_000_000])
async def test_messages_arrive_whole_however_the_bytes_come(piece: int) -> None:
    sent = [("t/1", b""), ("t/\u00e9", b"x" * 200), ("t/2", bytes(300))]

    messages, back = await received(publish_frames(sent), count=3, piece=piece)

    assert messages == sent
    assert back == DISCONNECT


async def test_qos_1_is_acknowledged_in_order() -> None:
    sent = [(f"t/{at}", b"x") for at in range(100)]

    messages, back = await received(publish_frames(sent, range(1, 101)), count=100, piece=1_000_000)

    assert messages == sent
    assert back == b"".join(b"\x40\x02" + at.to_bytes(2) for at in range(1, 101)) + DISCONNECT


async def test_long_burst_does_not_hold_the_loop() -> None:
    """Between two shares of a burst, others run."""
    sent = [("t/1", bytes(1000))] * 2000
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(count_turns)
        messages, _ = await received(publish_frames(sent), count=2000, piece=10_000_000)
        group.cancel_scope.cancel()

    assert len(messages) == 2000
    assert turns > 30  # two million bytes in shares of 64 KiB


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x30\x04\x00\xff\x00\x00", id="topic beyond the packet"),
        pytest.param(b"\x30\x01\x00", id="PUBLISH without a topic"),
        pytest.param(b"\x34\x06\x00\x01t\x00\x01x", id="PUBLISH at QoS 2"),
        pytest.param(b"\x40\x01\x00", id="PUBACK cut short"),
        pytest.param(b"\x70\x02\x00\x01", id="PUBCOMP for nothing"),
        pytest.param(b"\x62\x00", id="PUBREL cut short"),
        pytest.param(b"\x00\x00", id="packet type 0"),
        pytest.param(b"\x30\xff\xff\xff\xff\xff", id="length of five bytes"),
        pytest.param(b"\x90\x00", id="SUBACK without a body"),
    ],
)
async def test_broken_packet_ends_the_connection_and_nothing_else(data: bytes) -> None:
    closed = anyio.Event()

    async def script(stream: SocketStream) -> None:
        await stream.send(data)
        async for _ in stream:
            pass
        closed.set()

    async with scripted(script) as settings:
        with anyio.fail_after(5):
            async with open_session(settings, lambda *_: None) as session:
                await session.wait_lost()
                assert not session.open
            await closed.wait()


async def test_acknowledgement_of_nothing_is_ignored() -> None:
    messages, _ = await received(b"\x40\x02\x12\x34" + publish_frames([("t/1", b"x")]), count=1, piece=1000)

    assert messages == [("t/1", b"x")]
