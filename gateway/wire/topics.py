"""Topic names of ``tg1`` (docs/protocol.md 2). A topic is parsed in one place, so a bad one is refused in one place."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gateway.errors import WireError

VERSION: Final = "tg1"
SHARDS: Final = 256
BULK_SUFFIX: Final = ".b"
TERMINAL_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

_UP: Final = re.compile(r"tg1/up/(0|[1-9][0-9]{0,2})/([A-Za-z0-9_-]{1,64})(\.b)?/([a-z]{1,16})")
_DOWN: Final = re.compile(r"tg1/dn/([A-Za-z0-9_-]{1,64})(\.b)?/([a-z]{1,16})")


@dataclass(frozen=True, slots=True)
class Address:
    """Whose topic it is, on which of its two connections, and the kind of message."""

    terminal: str
    bulk: bool
    kind: str


def shard_of(terminal: str) -> int:
    """The shard (0..255) that owns a terminal: CRC-32 (ISO-HDLC) of its id, modulo 256."""
    return zlib.crc32(terminal.encode()) % SHARDS


def is_terminal_id(text: str) -> bool:
    """Whether ``text`` may name a terminal."""
    return TERMINAL_ID.fullmatch(text) is not None


def up(terminal: str, kind: str, *, bulk: bool = False) -> str:
    """The topic on which ``terminal`` publishes ``kind``."""
    return f"{VERSION}/up/{shard_of(terminal)}/{terminal}{BULK_SUFFIX if bulk else ''}/{kind}"


def down(terminal: str, kind: str, *, bulk: bool = False) -> str:
    """The topic on which ``terminal`` is sent ``kind``."""
    return f"{VERSION}/dn/{terminal}{BULK_SUFFIX if bulk else ''}/{kind}"


def down_filter(terminal: str, *, bulk: bool = False) -> str:
    """What a terminal subscribes to on one of its connections."""
    return f"{VERSION}/dn/{terminal}{BULK_SUFFIX if bulk else ''}/+"


@lru_cache(maxsize=16_384)  # the same few topics come in over and over; what cannot be parsed is not kept
def parse_up(topic: str) -> Address:
    """Read an uplink topic.

    Raises:
        WireError: ``topic_invalid`` when it is not of the form, ``shard_mismatch`` when the shard is not the terminal's.
    """
    match = _UP.fullmatch(topic)
    if match is None:
        raise WireError(f"topic {topic[:120]!r} is not tg1/up/<shard>/<terminal>[.b]/<kind>", code="topic_invalid")

    shard, terminal, bulk, kind = match.groups()
    if int(shard) != shard_of(terminal):
        raise WireError(f"shard {shard} in the topic of {terminal}, expected {shard_of(terminal)}", code="shard_mismatch")

    return Address(terminal, bulk is not None, kind)


def parse_down(topic: str) -> Address:
    """Read a downlink topic; ``WireError`` (``topic_invalid``) when it is not of the form."""
    match = _DOWN.fullmatch(topic)
    if match is None:
        raise WireError(f"topic {topic[:120]!r} is not tg1/dn/<terminal>[.b]/<kind>", code="topic_invalid")

    terminal, bulk, kind = match.groups()
    return Address(terminal, bulk is not None, kind)
