"""MQTT 3.1.1 PUBLISH packets at QoS 0, as bytes [MQTT 3.3]. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_PUBLISH_QOS_0: Final = 0x30
_MAX_TOPIC_BYTES: Final = 65_535
_MAX_REMAINING: Final = 268_435_455  # four length bytes of seven bits [MQTT 2.2.3]


def publish_frames(messages: Sequence[tuple[str, bytes]]) -> bytes:
    """All of ``messages`` as one run of packets, so that one system call sends them.

    Raises:
        ValueError: a topic that no broker accepts, or a payload beyond MQTT's own limit; our own mistake.
    """
    parts: list[bytes | bytearray] = []
    for topic, payload in messages:
        name = topic.encode()
        length = 2 + len(name) + len(payload)
        if not 0 < len(name) <= _MAX_TOPIC_BYTES or b"+" in name or b"#" in name or length > _MAX_REMAINING:
            raise ValueError(f"cannot publish {len(payload)} bytes on {topic[:120]!r}")

        header = bytearray((_PUBLISH_QOS_0,))
        while length > 127:
            header.append(length & 127 | 128)
            length >>= 7
        header.append(length)
        header += len(name).to_bytes(2, "big")
        header += name
        parts.append(header)
        parts.append(payload)
    return b"".join(parts)
