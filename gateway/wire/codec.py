"""Bytes to messages and back. ``decode`` raises nothing but ``WireError``, whatever the bytes; ``docs/protocol.md`` 3 gives the limits.

Each message is a MessagePack map with short keys. One table per message says which key is which field and what it may hold;
unknown keys are ignored, a missing required key or a value outside its limits refuses the whole message.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgpack

from gateway.errors import WireError
from gateway.wire import messages as m
from gateway.wire.codes import Code, OrderKind, Phase, ResultStatus, What
from gateway.wire.topics import is_terminal_id

MAX_PAYLOAD_BYTES: Final = 64 * 1024
MAX_CHUNK_BYTES: Final = 16 * 1024
MAX_TEXT_CHARS: Final = 4096
MAX_DEPTH: Final = 6
MAX_NODES: Final = 512  # values in one free-form map
MAX_BODY_BYTES: Final = 60 * 1024  # a signed order's body: a manifest of 1,536 segments and its arguments
MAX_ACK_RANGES: Final = 16
MAX_HAVE_RANGES: Final = 64
MAX_RECEIPTS: Final = 256

_U32: Final = 2**32 - 1
_U53: Final = 2**53 - 1  # the largest integer that JSON carries safely

Check = Callable[[Any], Any]


class Field(NamedTuple):
    """One key of a message: its name on the air, the attribute, and the check that returns the value or raises ``ValueError``."""

    key: str
    attribute: str
    check: Check


# -- checks: each returns the value as the dataclass wants it, or raises ValueError saying what was expected


def _integer(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"expected an integer in {low}..{high}")
        return value

    return check


def _text(limit: int, *, least: int = 0) -> Check:
    def check(value: Any) -> str:
        if type(value) is not str or not least <= len(value) <= limit or "\0" in value:
            raise ValueError(f"expected a string of {least}..{limit} characters without NUL")
        return value

    return check


def _binary(limit: int, *, least: int = 0) -> Check:
    def check(value: Any) -> bytes:
        if type(value) is not bytes or not least <= len(value) <= limit:
            raise ValueError(f"expected {least}..{limit} bytes")
        return value

    return check


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("expected true or false")
    return value


def _word(enum: type[StrEnum]) -> Check:
    words = {member.value: member for member in enum}

    def check(value: Any) -> StrEnum:
        found = words.get(value) if type(value) is str else None
        if found is None:
            raise ValueError(f"expected a word of {enum.__name__}")
        return found

    return check


def _ranges(limit: int, stop: int) -> Check:
    def check(value: Any) -> tuple[tuple[int, int], ...]:
        if type(value) is not tuple or len(value) > limit:
            raise ValueError(f"expected at most {limit} ranges")
        at = -1
        for pair in value:
            if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not int or type(pair[1]) is not int:
                raise ValueError("expected [start, stop] pairs of integers")
            if not at < pair[0] < pair[1] <= stop:
                raise ValueError(f"expected ascending, disjoint, non-empty ranges that do not touch, below {stop}")
            at = pair[1]
        return value

    return check


def _list(item: Check, limit: int) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        if type(value) is not tuple or len(value) > limit:
            raise ValueError(f"expected a list of at most {limit}")
        return tuple(item(element) for element in value)

    return check


def _mapping(value: Check, limit: int, key: Check) -> Check:
    def check(found: Any) -> dict[str, Any]:
        if type(found) is not dict or len(found) > limit:
            raise ValueError(f"expected a map of at most {limit} entries")
        return {key(name): value(element) for name, element in found.items()}

    return check


def _plain(value: Any) -> dict[str, m.Plain]:
    """A free-form map: only plain values, at most ``MAX_NODES`` of them, nested at most ``MAX_DEPTH`` deep."""
    if type(value) is not dict:
        raise ValueError("expected a map")

    left = MAX_NODES
    stack: list[tuple[Any, int]] = [(value, 1)]
    while stack:
        node, depth = stack.pop()
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise ValueError(f"expected at most {MAX_NODES} values nested at most {MAX_DEPTH} deep")
        if type(node) is dict:
            for name in node:
                _key(name)
            stack.extend((element, depth + 1) for element in node.values())
        elif type(node) is tuple or type(node) is list:
            stack.extend((element, depth + 1) for element in node)
        else:
            _scalar(node)
    return value


def _scalar(node: Any) -> None:
    kind = type(node)
    if kind is str or isinstance(node, StrEnum):
        if len(node) > MAX_TEXT_CHARS or "\0" in node:
            raise ValueError(f"expected strings of at most {MAX_TEXT_CHARS} characters without NUL")
    elif kind is float:
        if not math.isfinite(node):
            raise ValueError("expected finite numbers")
    elif kind not in {bool, int, bytes, type(None)}:
        raise ValueError("expected null, booleans, numbers, strings, bytes, lists and maps only")


def _record(table: _Table) -> Check:
    def check(value: Any) -> Any:
        return None if value is None else table.read(value)

    return check


class _Table:
    """The keys of one message class; reads maps into it and writes it as a map."""

    def __init__(self, cls: type[Any], *keys: Field) -> None:
        self._cls = cls
        self._keys = keys
        self._required = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
        if {key.attribute for key in keys} != {f.name for f in fields(cls)}:
            raise AssertionError(cls)

    def read(self, value: Any) -> Any:
        if type(value) is not dict:
            raise ValueError("expected a map")

        found: dict[str, Any] = {}
        for key, attribute, check in self._keys:
            if key in value:
                try:
                    found[attribute] = check(value[key])
                except ValueError as exc:
                    raise ValueError(f"{key} ({attribute}): {exc}") from None
            elif attribute in self._required:
                raise ValueError(f"{key} ({attribute}): missing")
        return self._cls(**found)

    def write(self, message: Any) -> dict[str, Any]:
        return {key: getattr(message, attribute) for key, attribute, _ in self._keys}


_EPOCH = _integer(0, _U53)
_TIME_MS = _integer(0, _U53)
_STAMP = _integer(-_U53, _U53)
_NAME = _text(64, least=1)
_BLOCKS = m.BLOCKS_PER_SEGMENT * 1536  # the largest package, in blocks


def _id(value: Any) -> str:
    if type(value) is not str or not is_terminal_id(value):
        raise ValueError("expected 1..64 characters of A-Z a-z 0-9 _ -")
    return value


def _key(value: Any) -> str:
    if type(value) is not str or not 1 <= len(value) <= 64 or "\0" in value:
        raise ValueError("expected map keys of 1..64 characters")
    return value


_FACTS = _Table(
    m.Facts,
    Field("md", "model", _NAME),
    Field("cv", "components", _mapping(_text(64), 16, _key)),
    Field("fl", "floors", _mapping(_integer(0, _U53), 16, _key)),
    Field("sl", "slot", _text(8)),
    Field("bp", "battery_pct", _integer(0, 100)),
    Field("ch", "charging", _flag),
    Field("sf", "storage_free_bytes", _integer(0, _U53)),
    Field("ra", "rat", _text(16)),
    Field("rs", "rssi_dbm", _integer(-200, 0)),
    Field("op", "operator", _text(64)),
    Field("tz", "time_zone", _text(64)),
    Field("ck", "clock_ms", _TIME_MS),
    Field("tx", "in_transaction", _flag),
    Field("ub", "unsettled_count", _integer(0, _U32)),
)
_OPEN = _Table(
    m.OpenUpgrade,
    Field("u", "id", _id),
    Field("p", "phase", _word(Phase)),
    Field("x", "transfer", _integer(0, _U53)),
    Field("h", "have", _ranges(MAX_HAVE_RANGES, 1536)),
    Field("q", "seq", _integer(0, _U32)),
)

#: Every kind of message, by the last level of its topic. ``order`` is the signed envelope; ``decode_order`` reads its body.
TABLES: Final[Mapping[str, _Table]] = {
    "presence": _Table(m.Presence, Field("e", "epoch", _EPOCH), Field("on", "online", _flag)),
    "hello": _Table(
        m.Hello,
        Field("e", "epoch", _EPOCH),
        Field("c", "counter", _integer(0, _U53)),
        Field("f", "facts", _FACTS.read),
        Field("u", "upgrade", _record(_OPEN)),
    ),
    "report": _Table(
        m.Report,
        Field("u", "upgrade", _id),
        Field("q", "seq", _integer(1, _U32)),
        Field("w", "what", _word(What)),
        Field("c", "code", _word(Code)),
        Field("d", "detail", _plain),
        Field("at", "at_ms", _TIME_MS),
    ),
    "ack": _Table(
        m.Ack,
        Field("x", "transfer", _integer(1, _U53)),
        Field("e", "epoch", _EPOCH),
        Field("q", "seq", _integer(0, _U53)),
        Field("n", "number", _integer(0, _U53)),
        Field("k", "cum", _integer(0, _BLOCKS)),
        Field("r", "ranges", _ranges(MAX_ACK_RANGES, _BLOCKS)),
        Field("cr", "credit_bytes", _integer(0, _U32)),
        Field("ow", "delay_ms", _STAMP),
        Field("s", "echo_ms", _STAMP),
        Field("fg", "foreground", _flag),
        Field("p", "pause_seq", _integer(0, _U32)),
    ),
    "result": _Table(
        m.Result,
        Field("o", "order", _id),
        Field("st", "status", _word(ResultStatus)),
        Field("c", "code", _word(Code)),
        Field("d", "data", _plain),
        Field("at", "at_ms", _TIME_MS),
    ),
    "log": _Table(
        m.Log,
        Field("l", "upload", _integer(1, _U53)),
        Field("i", "index", _integer(0, _U32)),
        Field("d", "data", _binary(MAX_CHUNK_BYTES)),
        Field("z", "last", _flag),
    ),
    "welcome": _Table(
        m.Welcome,
        Field("e", "epoch", _EPOCH),
        Field("t", "now_ms", _TIME_MS),
        Field("ka", "keepalive_s", _integer(10, 3600)),
        Field("rh", "reconnect_hint_ms", _integer(0, 3_600_000)),
        Field("ae", "ack_every", _integer(1, 64)),
        Field("ad", "ack_delay_ms", _integer(1, 10_000)),
        Field("cm", "chunk_max_bytes", _integer(m.BLOCK_BYTES, MAX_CHUNK_BYTES)),
        Field("hi", "hello", _flag),
    ),
    "order": _Table(
        m.Signed,
        Field("b", "body", _binary(MAX_BODY_BYTES, least=1)),
        Field("s", "signature", _binary(64, least=64)),
        Field("k", "key", _text(16, least=16)),
    ),
    "chunk": _Table(
        m.Chunk,
        Field("x", "transfer", _integer(1, _U53)),
        Field("n", "number", _integer(1, _U53)),
        Field("i", "index", _integer(0, _BLOCKS - 1)),
        Field("s", "stamp_ms", _STAMP),
        Field("d", "data", _binary(MAX_CHUNK_BYTES, least=1)),
    ),
    "receipt": _Table(
        m.Receipt,
        Field("u", "upgrade", _text(64)),
        Field("q", "seqs", _list(_integer(1, _U32), MAX_RECEIPTS)),
        Field("o", "orders", _list(_id, MAX_RECEIPTS)),
    ),
}
_ORDER = _Table(
    m.Order,
    Field("id", "id", _id),
    Field("c", "counter", _integer(1, _U53)),
    Field("e", "shard_epoch", _integer(0, _U53)),
    Field("t", "terminal", _id),
    Field("k", "kind", _word(OrderKind)),
    Field("a", "args", _plain),
    Field("nb", "not_before_ms", _TIME_MS),
    Field("na", "not_after_ms", _TIME_MS),
)

UP_KINDS: Final = frozenset({"presence", "hello", "report", "ack", "result", "log"})
DOWN_KINDS: Final = frozenset({"welcome", "order", "chunk", "receipt"})
_KIND_OF: Final[Mapping[type[Any], str]] = {
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
    """A message as bytes; ``WireError`` (``payload_too_large``) when it would exceed ``MAX_PAYLOAD_BYTES``."""
    return _pack(TABLES[_KIND_OF[type(message)]].write(message))


def decode(kind: str, payload: bytes) -> m.Message:
    """Bytes from the air as a message.

    Raises:
        WireError: ``payload_too_large``, ``kind_unknown``, ``not_msgpack`` or ``field_invalid``; never anything else.
    """
    table = TABLES.get(kind)
    if table is None:
        raise WireError(f"unknown kind {kind[:32]!r}", code="kind_unknown")

    found: m.Message = _read(table, payload)
    return found


def encode_order(order: m.Order) -> bytes:
    """An order's body, the bytes that are signed."""
    return _pack(_ORDER.write(order))


def decode_order(body: bytes) -> m.Order:
    """The body of a signed order; raises only ``WireError``. Check the signature first."""
    found: m.Order = _read(_ORDER, body)
    return found


def unpack(payload: bytes) -> Any:
    """Any MessagePack value within the limits (the manifest's reader uses it too); raises only ``WireError``."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise WireError(f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} allowed", code="payload_too_large")

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


def _read(table: _Table, payload: bytes) -> Any:
    value = unpack(payload)
    try:
        return table.read(value)
    except ValueError as exc:
        raise WireError(str(exc), code="field_invalid") from None


def _refuse_ext(code: int, _data: bytes) -> None:
    raise ValueError(f"extension type {code} is not used here")


def _pack(value: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(value, default=_pack_other)
    if len(packed) > MAX_PAYLOAD_BYTES:
        raise WireError(f"{len(packed)} bytes, at most {MAX_PAYLOAD_BYTES} allowed", code="payload_too_large")
    return packed


def _pack_other(value: object) -> Any:
    """Nested records (``hello.facts``, ``hello.upgrade``) as maps."""
    if isinstance(value, m.Facts):
        return _FACTS.write(value)
    if isinstance(value, m.OpenUpgrade):
        return _OPEN.write(value)
    raise AssertionError(type(value))
