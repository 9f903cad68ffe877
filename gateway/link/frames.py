"""MQTT 3.1.1 packets as bytes: PUBLISH to send [MQTT 3.3], PUBLISH received, PUBACK [MQTT 3.4]. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_PUBLISH: Final = 0x30
_QOS_1: Final = 0x02
_PUBACK: Final = b"\x40\x02"
_MAX_TOPIC_BYTES: Final = 65_535
_MAX_REMAINING: Final = 268_435_455  # four length bytes of seven bits [MQTT 2.2.3]


def publish_frames(messages: Sequence[tuple[str, bytes]], packet_ids: Sequence[int] = ()) -> bytes:
    """All of ``messages`` as one run of packets, so that one system call sends them; at QoS 1 when each has a packet id.

    Raises:
        ValueError: a topic that no broker accepts, or a payload beyond MQTT's own limit; our own mistake.
    """
    parts: list[bytes | bytearray] = []
    for at, (topic, payload) in enumerate(messages):
        name = topic.encode()
        packet_id = packet_ids[at].to_bytes(2, "big") if packet_ids else b""
        length = 2 + len(name) + len(packet_id) + len(payload)
        if not 0 < len(name) <= _MAX_TOPIC_BYTES or b"+" in name or b"#" in name or length > _MAX_REMAINING:
            raise ValueError(f"cannot publish {len(payload)} bytes on {topic[:120]!r}")

        head = bytearray((_PUBLISH | _QOS_1 if packet_id else _PUBLISH,))
        while length > 127:
            head.append(length & 127 | 128)
            length >>= 7
        head.append(length)
        head += len(name).to_bytes(2, "big")
        head += name
        head += packet_id
        parts.append(head)
        parts.append(payload)
    return b"".join(parts)


def puback_frames(packet_ids: Sequence[int]) -> bytes:
    """The acknowledgements of ``packet_ids``, in order [MQTT-4.6.0-2]."""
    return b"".join([_PUBACK + packet_id.to_bytes(2, "big") for packet_id in packet_ids])


def read_publish(command: int, body: bytes | bytearray) -> tuple[str, bytes, int]:
    """Topic, payload and packet id (0 at QoS 0) of a received PUBLISH: its first byte, and all behind the length.

    A topic that is not UTF-8 comes with U+FFFD in it, so that it is refused where every topic is read.

    Raises:
        ValueError: the packet is cut short, or at QoS 2, which we never ask for.
    """
    qos = command >> 1 & 3
    topic_stop = 2 + int.from_bytes(body[:2], "big")
    start = topic_stop if qos == 0 else topic_stop + 2
    if qos > 1 or not 2 < topic_stop <= start <= len(body):
        raise ValueError(f"PUBLISH of {len(body)} bytes at QoS {qos} with a topic up to byte {topic_stop}")

    packet_id = int.from_bytes(body[topic_stop:start], "big")
    return body[2:topic_stop].decode(errors="replace"), bytes(body[start:]), packet_id
