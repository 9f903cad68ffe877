"""The codec on everything: messages come back as they were, and no bytes raise anything but ``WireError``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import WireError
from gateway.wire import messages as m
from gateway.wire.codec import (
    MAX_ACK_RANGES,
    MAX_BODY_BYTES,
    MAX_CHUNK_BYTES,
    MAX_HAVE_RANGES,
    MAX_RECEIPTS,
    MAX_SEGMENTS,
    TABLES,
    decode,
    decode_order,
    decode_signed,
    encode,
    encode_chunk,
    encode_order,
    kind_of,
    unpack,
)
from gateway.wire.codes import Code, OrderKind, Phase, ResultStatus, What
from gateway.wire.fields import MAX_INTEGER, MAX_TEXT_CHARS, U32
from gateway.wire.ranges import RangeSet

CODES = {"payload_too_large", "kind_unknown", "not_msgpack", "field_invalid"}
KINDS = st.sampled_from(sorted(TABLES))
BLOCKS = MAX_SEGMENTS * m.BLOCKS_PER_SEGMENT
RELAXED = settings(deadline=None)
T = TypeVar("T")


# -- one strategy for each message: everything that it may hold, the limits themselves included


def _texts(limit: int, *, least: int = 0) -> st.SearchStrategy[str]:
    few = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=least, max_size=min(limit, 12))
    return few | st.sampled_from("x\u6536\U0001f4b3").map(lambda letter: letter * limit)


def _range_tuples(limit: int, stop: int) -> st.SearchStrategy[tuple[tuple[int, int], ...]]:
    spans = st.lists(st.tuples(st.integers(0, stop - 1), st.integers(1, 64)), max_size=limit)
    return spans.map(lambda found: RangeSet((start, min(start + size, stop)) for start, size in found).to_wire(limit))


IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
NAMES = _texts(64, least=1)
COUNTS = st.integers(0, 9) | st.integers(0, MAX_INTEGER)
POSITIVE = st.integers(1, 9) | st.integers(1, MAX_INTEGER)
SMALL = st.integers(0, U32)
STAMPS = st.integers(-MAX_INTEGER, MAX_INTEGER)
SCALARS = (
    st.none()
    | st.booleans()
    | STAMPS
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts(MAX_TEXT_CHARS)
    | st.binary(max_size=40)
    | st.sampled_from(Code)
)
VALUES: st.SearchStrategy[Any] = (
    SCALARS
    | st.lists(SCALARS, max_size=4).map(tuple)
    | st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=3).map(tuple), max_size=4)
)
FREE_FORM = st.dictionaries(NAMES, VALUES, max_size=5)

FACTS = st.builds(
    m.Facts,
    model=NAMES,
    components=st.dictionaries(NAMES, _texts(64), max_size=16),
    floors=st.dictionaries(NAMES, COUNTS, max_size=16),
    slot=_texts(8),
    battery_pct=st.integers(0, 100),
    charging=st.booleans(),
    storage_free_bytes=COUNTS,
    rat=_texts(16),
    rssi_dbm=st.integers(-200, 0),
    operator=_texts(64),
    time_zone=_texts(64),
    clock_ms=COUNTS,
    in_transaction=st.booleans(),
    unsettled_count=SMALL,
)
OPEN_UPGRADES = st.builds(
    m.OpenUpgrade,
    id=IDS,
    phase=st.sampled_from(Phase),
    transfer=COUNTS,
    have=_range_tuples(MAX_HAVE_RANGES, MAX_SEGMENTS),
    seq=SMALL,
)


@st.composite
def _acks(draw: st.DrawFn) -> m.Ack:
    cum = draw(st.integers(0, 9) | st.integers(0, BLOCKS))
    above = RangeSet(draw(_range_tuples(MAX_ACK_RANGES, BLOCKS)))
    above.remove(0, cum + 1)
    return m.Ack(
        transfer=draw(POSITIVE),
        epoch=draw(COUNTS),
        seq=draw(COUNTS),
        number=draw(COUNTS),
        cum=cum,
        ranges=above.to_wire(MAX_ACK_RANGES),
        credit_bytes=draw(SMALL),
        delay_ms=draw(STAMPS),
        echo_ms=draw(STAMPS),
        foreground=draw(st.booleans()),
        pause_seq=draw(SMALL),
    )


@st.composite
def _receipts(draw: st.DrawFn) -> m.Receipt:
    upgrade = draw(st.just("") | IDS)
    seqs = draw(st.lists(st.integers(1, U32), max_size=9)) if upgrade else []
    return m.Receipt(upgrade=upgrade, seqs=tuple(seqs), orders=tuple(draw(st.lists(IDS, max_size=9))))


STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "presence": st.builds(m.Presence, epoch=COUNTS, online=st.booleans()),
    "hello": st.builds(m.Hello, epoch=COUNTS, counter=COUNTS, facts=FACTS, upgrade=st.none() | OPEN_UPGRADES),
    "report": st.builds(
        m.Report,
        upgrade=IDS,
        seq=st.integers(1, U32),
        what=st.sampled_from(What),
        code=st.sampled_from(Code),
        detail=FREE_FORM,
        at_ms=COUNTS,
    ),
    "ack": _acks(),
    "result": st.builds(
        m.Result,
        order=IDS,
        status=st.sampled_from(ResultStatus),
        code=st.sampled_from(Code),
        data=FREE_FORM,
        at_ms=COUNTS,
    ),
    "log": st.builds(m.Log, upload=POSITIVE, index=SMALL, data=st.binary(max_size=99), last=st.booleans()),
    "welcome": st.builds(
        m.Welcome,
        epoch=COUNTS,
        now_ms=COUNTS,
        keepalive_s=st.integers(10, 3600),
        reconnect_hint_ms=st.integers(0, 3_600_000),
        ack_every=st.integers(1, 64),
        ack_delay_ms=st.integers(1, 10_000),
        chunk_max_bytes=st.integers(1024, 16_384),
        hello=st.booleans(),
    ),
    "order": st.builds(
        m.Signed,
        body=st.binary(min_size=1, max_size=99) | st.just(b"b" * MAX_BODY_BYTES),
        signature=st.binary(min_size=64, max_size=64),
        key=st.text("0123456789abcdef", min_size=16, max_size=16),
    ),
    "chunk": st.builds(
        m.Chunk,
        transfer=POSITIVE,
        number=POSITIVE,
        index=st.integers(0, BLOCKS - 1),
        stamp_ms=STAMPS,
        data=st.binary(min_size=1, max_size=99) | st.just(b"d" * MAX_CHUNK_BYTES),
    ),
    "receipt": _receipts(),
}
MESSAGES = st.one_of(*STRATEGIES.values())
ORDERS = st.builds(
    m.Order,
    id=IDS,
    counter=POSITIVE,
    shard_epoch=COUNTS,
    terminal=IDS,
    kind=st.sampled_from(OrderKind),
    args=FREE_FORM,
    not_before_ms=COUNTS,
    not_after_ms=COUNTS,
)

#: Anything that MessagePack can say, of any shape.
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=70) | st.binary(max_size=70),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4) | st.binary(max_size=2), inner, max_size=5),
    max_leaves=20,
)


@st.composite
def _damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid message, cut, stretched, spliced or with some bytes changed."""
    message = draw(MESSAGES)
    payload = bytearray(encode(message))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(payload) - 1)))
        match draw(st.integers(0, 3)):
            case 0 if payload:
                payload[at] ^= draw(st.integers(1, 255))
            case 1:
                del payload[at : at + draw(st.integers(1, 8))]
            case 2:
                payload[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                payload[at:at] = payload[: draw(st.integers(0, 64))]
    return kind_of(message), bytes(payload)


@st.composite
def _misfilled(draw: st.DrawFn) -> tuple[str, bytes]:
    """A well-formed map in which one value is whatever it likes to be, or is missing."""
    message = draw(MESSAGES)
    kind = kind_of(message)
    fields = unpack(encode(message))
    key = draw(st.sampled_from(sorted(fields)))
    if draw(st.booleans()):
        fields[key] = draw(ANYTHING)
    else:
        del fields[key]
    return kind, msgpack.packb(fields)


def unless_refused(read: Callable[[], T]) -> T | None:
    """What ``read`` returns, or ``None`` when it refuses as it may: by a ``WireError`` with one of its codes."""
    try:
        return read()
    except WireError as exc:
        code = exc.code
    assert code in CODES
    return None


def decodes_or_is_refused(kind: str, payload: bytes) -> None:
    """What is taken can be said again and means the same."""
    message = unless_refused(lambda: decode(kind, payload))
    if message is not None:
        assert decode(kind, encode(message)) == message


# -- properties


@pytest.mark.parametrize("kind", sorted(TABLES))
def test_every_kind_has_a_strategy(kind: str) -> None:
    assert kind in STRATEGIES


@RELAXED
@given(MESSAGES)
def test_a_message_comes_back_as_it_was(message: m.Message) -> None:
    assert decode(kind_of(message), encode(message)) == message


@RELAXED
@given(STRATEGIES["chunk"])
def test_the_short_way_for_chunks_gives_the_same_bytes(chunk: m.Chunk) -> None:
    fields = {field.name: getattr(chunk, field.name) for field in dataclasses.fields(chunk)}

    assert encode_chunk(**fields) == encode(chunk)


@RELAXED
@given(st.integers(), st.integers(), st.integers(), st.integers(), st.binary(max_size=2))
def test_the_short_way_for_chunks_keeps_the_same_limits(
    transfer: int, number: int, index: int, stamp_ms: int, data: bytes
) -> None:
    short = unless_refused(lambda: encode_chunk(transfer=transfer, number=number, index=index, stamp_ms=stamp_ms, data=data))
    long = unless_refused(lambda: encode(m.Chunk(transfer=transfer, number=number, index=index, stamp_ms=stamp_ms, data=data)))

    assert short == long


@RELAXED
@given(ORDERS)
def test_an_order_comes_back_as_it_was(order: m.Order) -> None:
    assert decode_order(encode_order(order)) == order


@given(KINDS, st.binary(max_size=300))
def test_arbitrary_bytes_are_read_or_refused(kind: str, payload: bytes) -> None:
    decodes_or_is_refused(kind, payload)


@given(KINDS, ANYTHING)
def test_arbitrary_values_are_read_or_refused(kind: str, value: object) -> None:
    decodes_or_is_refused(kind, msgpack.packb(value))


@settings(deadline=None, max_examples=300)
@given(_damaged())
def test_damaged_messages_are_read_or_refused(damaged: tuple[str, bytes]) -> None:
    decodes_or_is_refused(*damaged)


@settings(deadline=None, max_examples=300)
@given(_misfilled())
def test_messages_with_one_odd_value_are_read_or_refused(misfilled: tuple[str, bytes]) -> None:
    decodes_or_is_refused(*misfilled)


@given(st.text(max_size=40), st.binary(max_size=40))
def test_arbitrary_kinds_are_refused(kind: str, payload: bytes) -> None:
    if kind not in TABLES:
        with pytest.raises(WireError) as caught:
            decode(kind, payload)

        assert caught.value.code == "kind_unknown"


@given(st.binary(max_size=300))
def test_bodies_and_envelopes_are_read_or_refused(payload: bytes) -> None:
    unless_refused(lambda: decode_order(payload))
    unless_refused(lambda: decode_signed(payload))


@RELAXED
@given(
    st.builds(
        m.Report,
        upgrade=st.text(max_size=70),
        seq=st.integers(),
        what=st.sampled_from(What),
        code=st.sampled_from(Code),
        detail=st.dictionaries(st.text(max_size=70), VALUES | st.floats() | st.integers(), max_size=3),
        at_ms=st.integers(),
    )
    | st.builds(m.Receipt, upgrade=st.text(max_size=9), seqs=st.lists(st.integers(), max_size=MAX_RECEIPTS + 9).map(tuple))
    | st.builds(
        m.Ack,
        transfer=st.integers(),
        epoch=COUNTS,
        seq=COUNTS,
        number=COUNTS,
        cum=st.integers(0, 20),
        ranges=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=3).map(tuple),
        credit_bytes=SMALL,
        delay_ms=STAMPS,
        echo_ms=STAMPS,
    )
)
def test_what_a_receiver_would_refuse_cannot_be_encoded(message: m.Message) -> None:
    payload = unless_refused(lambda: encode(message))
    if payload is not None:
        assert decode(kind_of(message), payload) == message
