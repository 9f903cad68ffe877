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
    MAX_RECEIPTS,
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
from gateway.wire.codes import Code, What
from tests.property.wire_messages import COUNTS, MESSAGES, ORDERS, SMALL, STAMPS, STRATEGIES, VALUES

CODES = {"payload_too_large", "kind_unknown", "not_msgpack", "field_invalid"}
KINDS = st.sampled_from(sorted(TABLES))
RELAXED = settings(deadline=None)
T = TypeVar("T")


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
