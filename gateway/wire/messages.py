"""Every message of protocol ``tg1`` as a frozen dataclass; ``codec`` turns them into bytes and back (docs/protocol.md 4).

Times on the air are integers: ``*_ms`` of Unix time, except chunk and ack stamps, which are milliseconds of the sender's
monotonic clock and mean something only in differences. Blocks are 1 KiB pieces of a package, counted from 0; a chunk starts
at a block and holds 1, 4 or 16 of them (the last chunk of a package may be shorter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.wire.codes import Code, OrderKind, Phase, ResultStatus, What

#: What free-form maps (``detail``, ``args``, ``data``) may hold; depth and size are limited by the codec.
Plain = None | bool | int | float | str | bytes | tuple["Plain", ...] | Mapping[str, "Plain"]
PlainMap = Mapping[str, Plain]

BLOCK_BYTES: Final = 1024  # the unit of chunk and ack indexes
SEGMENT_BYTES: Final = 128 * 1024  # the unit of verification and resume
BLOCKS_PER_SEGMENT: Final = SEGMENT_BYTES // BLOCK_BYTES


# -- terminal to gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Birth (``online``) or death (the will). A death counts only for the newest epoch born."""

    epoch: int
    online: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a terminal says of itself."""

    model: str
    components: Mapping[str, str]
    """Version by component, e.g. ``{"app": "2.1.0"}``."""
    floors: Mapping[str, int]
    """Lowest release counter that may still be installed, by component."""
    slot: str
    """The running slot, ``a`` or ``b``."""
    battery_pct: int
    charging: bool
    storage_free_bytes: int
    rat: str
    rssi_dbm: int
    operator: str
    time_zone: str
    clock_ms: int
    in_transaction: bool
    unsettled_count: int
    single_connection: bool = False
    """It cannot open a bulk connection: chunks and acks go over the control connection too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenUpgrade:
    """The upgrade that the terminal's journal holds open."""

    id: str
    phase: Phase
    transfer: int
    """Transfer id, 0 when none is open."""
    have: tuple[tuple[int, int], ...]
    """Verified and durable segments as ascending half-open ranges."""
    seq: int
    """Highest report number used so far in this upgrade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """After birth, when facts change, and when a ``welcome`` asks; repeated until a ``welcome``."""

    epoch: int
    counter: int
    """Highest order counter accepted so far."""
    facts: Facts
    upgrade: OpenUpgrade | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What happened in an upgrade; repeated until its receipt."""

    upgrade: str
    seq: int
    what: What
    code: Code = Code.OK
    detail: PlainMap = field(default_factory=dict)
    at_ms: int = 0
    """The terminal's own clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """All that the terminal holds of a transfer, as seen after chunk ``number``: level, not edge."""

    transfer: int
    epoch: int
    """The bulk connection's own counter, raised at each bulk connect; of a single connection, the epoch of its birth."""
    seq: int
    """Rises with each ack of this epoch; a lower one is stale and ignored."""
    number: int
    """Number of the last chunk received on this connection, 0 before the first. Whatever was sent no later and is not
    listed as held is lost: one connection keeps order [MQTT-4.6.0]."""
    cum: int
    """Blocks 0..cum-1 are held."""
    ranges: tuple[tuple[int, int], ...]
    """Held blocks above ``cum``, ascending half-open ranges, at most 16."""
    credit_bytes: int
    """How much more than what is held the terminal takes now; 0 while it brakes."""
    delay_ms: int
    """Smallest (receive time - stamp) since the last ack, on the terminal's monotonic clock; may be negative. Without a chunk
    since then it is what the last ack said, which may have been lost."""
    echo_ms: int
    """Stamp of chunk ``number``."""
    foreground: bool = False
    pause_seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to an order that is not part of an upgrade; repeated until its receipt."""

    order: str
    status: ResultStatus
    code: Code = Code.OK
    data: PlainMap = field(default_factory=dict)
    at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A piece of an asked-for log."""

    upload: int
    index: int
    data: bytes
    last: bool


# -- gateway to terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The gateway has seen the hello of ``epoch``; hints, unsigned, nothing in it can move an upgrade."""

    epoch: int
    now_ms: int
    keepalive_s: int = 60
    reconnect_hint_ms: int = 0
    ack_every: int = 8
    ack_delay_ms: int = 100
    chunk_max_bytes: int = 16 * BLOCK_BYTES
    hello: bool = False
    """Asks for a fresh hello (the gateway has restarted)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Bytes with an Ed25519 signature over ``tg1.<purpose>``, a zero byte and the body, by the key called ``key``."""

    body: bytes
    signature: bytes
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The body of a signed order. One id is executed at most once, however often it is repeated."""

    id: str
    counter: int
    shard_epoch: int
    terminal: str
    kind: OrderKind
    args: PlainMap
    not_before_ms: int
    not_after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a package."""

    transfer: int
    number: int
    """Rises with every chunk sent, resent ones included (as a QUIC packet number, RFC 9000 12.3)."""
    index: int
    """First block."""
    stamp_ms: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """These reports of ``upgrade``, and these results, are stored durably."""

    upgrade: str = ""
    seqs: tuple[int, ...] = ()
    orders: tuple[str, ...] = ()


Uplink = Presence | Hello | Report | Ack | Result | Log
Downlink = Welcome | Signed | Chunk | Receipt
Message = Uplink | Downlink
