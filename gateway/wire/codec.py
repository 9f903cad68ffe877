"""Bytes to messages and back. ``decode`` raises nothing but ``WireError``, whatever the bytes (docs/protocol.md).

Each message is a MessagePack map with short keys. One table per message says which key is which field and what it may hold;
unknown keys are ignored, a missing required key or a value outside its limits refuses the whole message. ``encode`` runs the
same checks, so what our own code sends is never refused for its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgpack

from gateway.errors import WireError
from gateway.wire import messages as m
from gateway.wire.codes import Code, OrderKind, Phase, ResultStatus, What
from gateway.wire.fields import (
    MAX_INTEGER,
    U32,
    Field,
    T,
    Table,
    binary,
    flag,
    identifier,
    integer,
    mapping,
    plain,
    ranges,
    record,
    sequence,
    text,
    word,
)

MAX_PAYLOAD_BYTES: Final = 64 * 1024
MAX_CHUNK_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 60 * 1024  # a signed order's body: a manifest of 1,536 segments and its arguments
MAX_SEGMENTS: Final = 1536  # the largest package: 192 MiB
MAX_ACK_RANGES: Final = 16
MAX_HAVE_RANGES: Final = 64
MAX_RECEIPTS: Final = 256

_PACKER_BYTES: Final = 72 * 1024  # holds every message at once; the library's 256 KiB cost a system call each time
_MAX_BLOCKS: Final = m.BLOCKS_PER_SEGMENT * MAX_SEGMENTS
_EPOCH: Final = integer(0, MAX_INTEGER)
_COUNTER: Final = integer(0, MAX_INTEGER)
_TIME_MS: Final = integer(0, MAX_INTEGER)
_STAMP: Final = integer(-MAX_INTEGER, MAX_INTEGER)
_TRANSFER: Final = integer(1, MAX_INTEGER)
_VERSION: Final = text(64)


def _ack_agrees(ack: m.Ack) -> str | None:
    if ack.ranges and ack.ranges[0][0] <= ack.cum:
        return f"r (ranges): expected ranges above k (cum) = {ack.cum}, not touching it"
    return None


def _receipt_agrees(receipt: m.Receipt) -> str | None:
    return None if receipt.upgrade or not receipt.seqs else "u (upgrade): expected an upgrade id beside seqs"


def _id_or_empty(value: object) -> str:
    return "" if value == "" else identifier(value)


_FACTS: Final = Table(
    m.Facts,
    Field("md", "model", text(64, least=1)),
    Field("cv", "components", mapping(_VERSION, 16)),
    Field("fl", "floors", mapping(_COUNTER, 16)),
    Field("sl", "slot", text(8)),
    Field("bp", "battery_pct", integer(0, 100)),
    Field("ch", "charging", flag),
    Field("sf", "storage_free_bytes", integer(0, MAX_INTEGER)),
    Field("ra", "rat", text(16)),
    Field("rs", "rssi_dbm", integer(-200, 0)),
    Field("op", "operator", text(64)),
    Field("tz", "time_zone", text(64)),
    Field("ck", "clock_ms", _TIME_MS),
    Field("tx", "in_transaction", flag),
    Field("ub", "unsettled_count", integer(0, U32)),
    Field("sc", "single_connection", flag, brief=True),
)
_OPEN: Final = Table(
    m.OpenUpgrade,
    Field("u", "id", identifier),
    Field("p", "phase", word(Phase)),
    Field("x", "transfer", _COUNTER),
    Field("h", "have", ranges(MAX_HAVE_RANGES, MAX_SEGMENTS)),
    Field("q", "seq", integer(0, U32)),
)

_SIGNED: Final = Table(
    m.Signed,
    Field("b", "body", binary(MAX_BODY_BYTES, least=1)),
    Field("s", "signature", binary(64, least=64)),
    Field("k", "key", text(16, least=16)),
)

#: Every kind of message, by the last level of its topic. ``order`` is the signed envelope; ``decode_order`` reads its body.
TABLES: Final[Mapping[str, Table[Any]]] = {
    "presence": Table(m.Presence, Field("e", "epoch", _EPOCH), Field("on", "online", flag)),
    "hello": Table(
        m.Hello,
        Field("e", "epoch", _EPOCH),
        Field("c", "counter", _COUNTER),
        record("f", "facts", _FACTS),
        record("u", "upgrade", _OPEN, optional=True),
    ),
    "report": Table(
        m.Report,
        Field("u", "upgrade", identifier),
        Field("q", "seq", integer(1, U32)),
        Field("w", "what", word(What)),
        Field("c", "code", word(Code)),
        Field("d", "detail", plain),
        Field("at", "at_ms", _TIME_MS),
    ),
    "ack": Table(
        m.Ack,
        Field("x", "transfer", _TRANSFER),
        Field("e", "epoch", _EPOCH),
        Field("q", "seq", _COUNTER),
        Field("n", "number", _COUNTER),
        Field("k", "cum", integer(0, _MAX_BLOCKS)),
        Field("r", "ranges", ranges(MAX_ACK_RANGES, _MAX_BLOCKS)),
        Field("cr", "credit_bytes", integer(0, U32)),
        Field("ow", "delay_ms", _STAMP),
        Field("s", "echo_ms", _STAMP),
        Field("fg", "foreground", flag),
        Field("p", "pause_seq", integer(0, U32)),
        agree=_ack_agrees,
    ),
    "result": Table(
        m.Result,
        Field("o", "order", identifier),
        Field("st", "status", word(ResultStatus)),
        Field("c", "code", word(Code)),
        Field("d", "data", plain),
        Field("at", "at_ms", _TIME_MS),
    ),
    "log": Table(
        m.Log,
        Field("l", "upload", integer(1, MAX_INTEGER)),
        Field("i", "index", integer(0, U32)),
        Field("d", "data", binary(MAX_CHUNK_BYTES)),
        Field("z", "last", flag),
    ),
    "welcome": Table(
        m.Welcome,
        Field("e", "epoch", _EPOCH),
        Field("t", "now_ms", _TIME_MS),
        Field("ka", "keepalive_s", integer(10, 3600)),
        Field("rh", "reconnect_hint_ms", integer(0, 3_600_000)),
        Field("ae", "ack_every", integer(1, 64)),
        Field("ad", "ack_delay_ms", integer(1, 10_000)),
        Field("cm", "chunk_max_bytes", integer(m.BLOCK_BYTES, MAX_CHUNK_BYTES)),
        Field("hi", "hello", flag),
    ),
    "order": _SIGNED,
    "chunk": Table(
        m.Chunk,
        Field("x", "transfer", _TRANSFER),
        Field("n", "number", integer(1, MAX_INTEGER)),
        Field("i", "index", integer(0, _MAX_BLOCKS - 1)),
        Field("s", "stamp_ms", _STAMP),
        Field("d", "data", binary(MAX_CHUNK_BYTES, least=1)),
    ),
    "receipt": Table(
        m.Receipt,
        Field("u", "upgrade", _id_or_empty),
        Field("q", "seqs", sequence(integer(1, U32), MAX_RECEIPTS)),
        Field("o", "orders", sequence(identifier, MAX_RECEIPTS)),
        agree=_receipt_agrees,
    ),
}
#: The body of an order, and the nested records of ``hello``: not kinds of their own.
ORDER_BODY: Final = Table(
    m.Order,
    Field("id", "id", identifier),
    Field("c", "counter", integer(1, MAX_INTEGER)),
    Field("e", "shard_epoch", _EPOCH),
    Field("t", "terminal", identifier),
    Field("k", "kind", word(OrderKind)),
    Field("a", "args", plain),
    Field("nb", "not_before_ms", _TIME_MS),
    Field("na", "not_after_ms", _TIME_MS),
)
NESTED: Final[Mapping[str, Table[Any]]] = {"hello.f": _FACTS, "hello.u": _OPEN, "order.b": ORDER_BODY}

UP_KINDS: Final = frozenset({"presence", "hello", "report", "ack", "result", "log"})
DOWN_KINDS: Final = frozenset({"welcome", "order", "chunk", "receipt"})
_KIND_OF: Final[Mapping[type[m.Message], str]] = {
    m.Presence: "presence",
    m.Hello: "hello",
    m.Report: "report",
    m.Ack: "ack",
    m.Result: "result",
    m.Log: "log",
    m.Welcome: "welcome",
    m.Signed: "order",
    m.Chunk: "chunk",
    m.Receipt: "receipt",
}


def kind_of(message: m.Message) -> str:
    """The last topic level of a message."""
    return _KIND_OF[type(message)]


def encode(message: m.Message) -> bytes:
    """A message as bytes.

    Raises:
        WireError: ``field_invalid`` when a receiver would refuse a field, ``payload_too_large`` beyond ``MAX_PAYLOAD_BYTES``.
    """
    return write_table(TABLES[_KIND_OF[type(message)]], message)


def encode_chunk(*, transfer: int, number: int, index: int, stamp_ms: int, data: bytes) -> bytes:
    """The bytes of a ``Chunk`` at less than half the cost, for the pump that sends thousands a second; raises as ``encode``."""
    if not (
        0 < transfer <= MAX_INTEGER
        and 0 < number <= MAX_INTEGER
        and 0 <= index < _MAX_BLOCKS
        and -MAX_INTEGER <= stamp_ms <= MAX_INTEGER
        and 0 < len(data) <= MAX_CHUNK_BYTES
    ):
        return encode(m.Chunk(transfer=transfer, number=number, index=index, stamp_ms=stamp_ms, data=data))  # names the culprit
    return _pack({"x": transfer, "n": number, "i": index, "s": stamp_ms, "d": data})


def decode(kind: str, payload: bytes) -> m.Message:
    """Bytes from the air as a message.

    Raises:
        WireError: ``payload_too_large``, ``kind_unknown``, ``not_msgpack`` or ``field_invalid``; never anything else.
    """
    table = TABLES.get(kind)
    if table is None:
        raise WireError(f"unknown kind {kind[:32]!r}", code="kind_unknown")

    found: m.Message = read_table(table, payload)
    return found


def decode_signed(payload: bytes) -> m.Signed:
    """A signed envelope that does not come as a message of its own (a manifest); raises only ``WireError``."""
    return read_table(_SIGNED, payload)


def encode_order(order: m.Order) -> bytes:
    """An order's body, the bytes that are signed; ``WireError`` as ``encode``."""
    return write_table(ORDER_BODY, order)


def decode_order(body: bytes) -> m.Order:
    """The body of a signed order; raises only ``WireError``. Check the signature first."""
    return read_table(ORDER_BODY, body)


def read_table(table: Table[T], payload: bytes) -> T:
    """The record that a table describes; raises only ``WireError`` (as ``decode``)."""
    value = unpack(payload)
    try:
        return table.read(value)
    except ValueError as exc:
        raise WireError(str(exc), code="field_invalid") from None


def write_table(table: Table[T], message: T) -> bytes:
    """The bytes of a record; raises only ``WireError`` (as ``encode``)."""
    try:
        packed = _pack(table.write(message))
    except ValueError as exc:
        raise WireError(str(exc), code="field_invalid") from None
    if len(packed) > MAX_PAYLOAD_BYTES:
        raise _too_large(packed)
    return packed


def unpack(payload: bytes) -> Any:
    """One MessagePack value within the limits, lists as tuples; raises only ``WireError``."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise _too_large(payload)

    try:
        return msgpack.unpackb(
            payload,
            raw=False,
            use_list=False,
            strict_map_key=True,
            ext_hook=_refuse_ext,
            max_str_len=MAX_PAYLOAD_BYTES,
            max_bin_len=MAX_PAYLOAD_BYTES,
            max_array_len=4096,
            max_map_len=1024,
            max_ext_len=0,
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as exc:
        raise WireError(f"not one MessagePack value within the limits: {exc}", code="not_msgpack") from exc


def _pack(value: dict[str, Any]) -> bytes:
    # a packer for each message: one that is shared must not be used by two threads
    packed: bytes = msgpack.Packer(default=_pack_other, buf_size=_PACKER_BYTES).pack(value)
    return packed


def _too_large(payload: bytes) -> WireError:
    return WireError(f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} allowed", code="payload_too_large")


def _refuse_ext(code: int, _data: bytes) -> None:
    raise ValueError(f"extension type {code} is not used here")


def _pack_other(value: object) -> dict[Any, Any]:
    """Maps that are no ``dict`` (a read-only view in a free-form map), nested ones included."""
    if isinstance(value, Mapping):
        return dict(value)
    raise AssertionError(type(value))
