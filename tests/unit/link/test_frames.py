"""MQTT packets by the byte, as the OASIS standard draws them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.frames import puback_frames, publish_frames, read_publish


def split(frames: bytes) -> list[tuple[int, bytes]]:
    """First byte and body of each packet, by the rule of [MQTT 2.2.3]."""
    found = []
    at = 0
    while at < len(frames):
        first, length, shift = frames[at], 0, 0
        while True:
            at += 1
            length |= (frames[at] & 127) << shift
            shift += 7
            if frames[at] < 128:
                break
        found.append((first, frames[at + 1 : at + 1 + length]))
        at += 1 + length
    return found


def test_publish_at_qos_0_by_the_byte() -> None:
    assert publish_frames([("a/b", b"xyz")]) == bytes.fromhex("30 08 0003 612f62 78797a")


def test_publish_at_qos_1_by_the_byte() -> None:
    assert publish_frames([("a/b", b"xyz")], [258]) == bytes.fromhex("32 0a 0003 612f62 0102 78797a")


def test_acknowledgements_by_the_byte() -> None:
    assert puback_frames([1, 258]) == bytes.fromhex("40020001 40020102")


@pytest.mark.parametrize("length", [0, 122, 123, 16_378, 16_379, 2_097_146, 2_097_147])
def test_length_bytes_at_their_edges(length: int) -> None:
    """The remaining length here is ``length + 5``: 127, 128, 16,383 and so on, where it takes a byte more."""
    [(first, body)] = split(publish_frames([("t/1", bytes(length))]))

    assert (0x30, length + 5) == (first, len(body))


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=40).filter(lambda text: not {"+", "#"} & set(text)), st.binary()), max_size=5
    ),
    st.booleans(),
)
def test_what_is_published_is_read_back(messages: list[tuple[str, bytes]], confirmed: bool) -> None:  # noqa: FBT001  # QoS 0 or 1
    ids = list(range(1, len(messages) + 1)) if confirmed else []

    back = [read_publish(first, body) for first, body in split(publish_frames(messages, ids))]

    assert [(topic, payload, ids[at] if ids else 0) for at, (topic, payload) in enumerate(messages)] == back


@pytest.mark.parametrize("topic", ["", "a/+", "#", "x" * 65_536])
def test_topic_that_no_broker_takes_is_our_own_mistake(topic: str) -> None:
    with pytest.raises(ValueError, match="cannot publish"):
        publish_frames([(topic, b"")])


@given(st.integers(0, 255), st.binary(max_size=64))
def test_received_packet_is_read_or_refused(command: int, body: bytes) -> None:
    """Nothing but ``ValueError`` comes out, and what is read was in the body."""
    try:
        topic, payload, packet_id = read_publish(command, body)
    except ValueError:
        return

    assert topic
    assert body.endswith(payload)
    assert 0 <= packet_id < 65_536


def test_topic_that_is_not_utf_8_is_marked() -> None:
    assert read_publish(0x30, b"\0\2a\xffpayload") == ("a\ufffd", b"payload", 0)


@pytest.mark.parametrize("command", [0x34, 0x36], ids=["QoS 2", "QoS 3"])
def test_qos_that_we_never_ask_for_is_refused(command: int) -> None:
    with pytest.raises(ValueError, match="QoS"):
        read_publish(command, b"\0\1a\0\1payload")
