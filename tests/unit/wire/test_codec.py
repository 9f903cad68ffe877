"""The codec's limits and refusals, one by one; what holds for all messages is in tests/property/test_wire_codec.py."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

import msgpack
import pytest

from gateway.errors import WireError
from gateway.wire import messages as m
from gateway.wire.codec import (
    DOWN_KINDS,
    MAX_BODY_BYTES,
    MAX_CHUNK_BYTES,
    MAX_PAYLOAD_BYTES,
    NESTED,
    ORDER_BODY,
    TABLES,
    UP_KINDS,
    decode,
    decode_order,
    decode_signed,
    encode,
    encode_order,
    kind_of,
    unpack,
)
from gateway.wire.codes import Code, OrderKind, Phase, What
from gateway.wire.fields import Table

REPORT = m.Report(upgrade="u1", seq=1, what=What.READY, detail={"battery_pct": 80}, at_ms=5)
ACK = m.Ack(
    transfer=7, epoch=1, seq=2, number=9, cum=16, ranges=((20, 24), (32, 48)), credit_bytes=262_144, delay_ms=-5, echo_ms=99
)
FACTS = m.Facts(
    model="lakala-4g-esign",
    components={"app": "2.0"},
    floors={"app": 3},
    slot="a",
    battery_pct=80,
    charging=False,
    storage_free_bytes=1,
    rat="lte",
    rssi_dbm=-90,
    operator="46000",
    time_zone="Asia/Shanghai",
    clock_ms=1,
    in_transaction=False,
    unsettled_count=0,
)
HELLO = m.Hello(epoch=1, counter=2, facts=FACTS, upgrade=m.OpenUpgrade(id="u1", phase=Phase.READY, transfer=0, have=(), seq=3))
CHUNK = m.Chunk(transfer=7, number=1, index=0, stamp_ms=0, data=b"x")
SIGNED = m.Signed(body=b"b", signature=b"s" * 64, key="0" * 16)


def refused(kind: str, payload: bytes) -> WireError:
    with pytest.raises(WireError) as caught:
        decode(kind, payload)

    return caught.value


def changed(message: m.Message, **keys: object) -> bytes:
    """A message in which some keys hold what they must not."""
    return msgpack.packb(unpack(encode(message)) | keys)  # type: ignore[no-any-return]  # msgpack has no types


def test_every_kind_goes_one_way() -> None:
    assert set(TABLES) == UP_KINDS | DOWN_KINDS
    assert not UP_KINDS & DOWN_KINDS
    assert kind_of(REPORT) == "report"
    assert kind_of(SIGNED) == "order"


@pytest.mark.parametrize("table", [*TABLES.values(), *NESTED.values()])
def test_keys_are_short_and_used_once(table: Table[m.Presence]) -> None:
    keys = [field.key for field in table.keys]

    assert len(keys) == len(set(keys))
    assert all(1 <= len(key) <= 2 and key.isascii() and key.islower() for key in keys)


def test_a_payload_is_limited_before_it_is_read() -> None:
    assert refused("report", b"\x00" * (MAX_PAYLOAD_BYTES + 1)).code == "payload_too_large"
    assert refused("report", b"\x00" * MAX_PAYLOAD_BYTES).code == "not_msgpack"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x81",
        b"\x80\x80",
        b"\xa1\xff",
        b"\x81\x01\x01",
        b"\x81\x90\x01",
        b"\xd4\x05\x00",
        b"\xc7\x00\x05",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xc7\x00\xff",
        b"\x91" * 3000 + b"\x90",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
    ],
    ids=lambda payload: payload[:8].hex() or "empty",
)
def test_what_is_not_one_plain_messagepack_value_is_refused(payload: bytes) -> None:
    assert refused("report", payload).code == "not_msgpack"


def test_arrays_and_maps_are_limited_wherever_they_stand() -> None:
    assert refused("presence", msgpack.packb({"e": 1, "on": True, "zz": [0] * 4097})).code == "not_msgpack"
    assert (
        refused("presence", msgpack.packb({"e": 1, "on": True, "zz": {str(n): 0 for n in range(1025)}})).code == "not_msgpack"
    )


def test_unknown_keys_are_ignored_and_unknown_kinds_are_not() -> None:
    assert decode("presence", msgpack.packb({"e": 1, "on": True, "new": [1, {"a": None}]})) == m.Presence(epoch=1, online=True)
    assert refused("telemetry", b"\x80").code == "kind_unknown"


def test_an_optional_key_has_its_default_and_a_required_one_is_missed() -> None:
    fields = unpack(encode(REPORT))
    for key in ("c", "d", "at"):
        del fields[key]

    assert decode("report", msgpack.packb(fields)) == m.Report(upgrade="u1", seq=1, what=What.READY)
    del fields["q"]
    error = refused("report", msgpack.packb(fields))
    assert (error.code, error.message) == ("field_invalid", "q (seq): missing")


@pytest.mark.parametrize("value", [None, 3, b"", (1, 2), "text"])
def test_a_message_is_a_map(value: object) -> None:
    assert refused("report", msgpack.packb(value)).code == "field_invalid"


@pytest.mark.parametrize(
    ("message", "keys"),
    [
        (REPORT, {"u": "with space"}),
        (REPORT, {"u": "x" * 65}),
        (REPORT, {"u": b"u1"}),
        (REPORT, {"q": 0}),
        (REPORT, {"q": 2**32}),
        (REPORT, {"q": True}),
        (REPORT, {"q": 1.0}),
        (REPORT, {"w": "exploded"}),
        (REPORT, {"w": 3}),
        (REPORT, {"w": ["ready"]}),
        (REPORT, {"c": "OK"}),
        (REPORT, {"d": None}),
        (REPORT, {"d": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}}),
        (REPORT, {"d": {"a": [0] * 512}}),
        (REPORT, {"d": {"a": "x" * 4097}}),
        (REPORT, {"d": {"a": "nul\0"}}),
        (REPORT, {"d": {"a": float("nan")}}),
        (REPORT, {"d": {"a": float("inf")}}),
        (REPORT, {"d": {"a": 2**53}}),
        (REPORT, {"d": {"a": -(2**53)}}),
        (REPORT, {"d": {"": 1}}),
        (REPORT, {"d": {"x" * 65: 1}}),
        (REPORT, {"d": {b"bytes": 1}}),
        (REPORT, {"at": -1}),
        (REPORT, {"at": 2**53}),
        (ACK, {"x": 0}),
        (ACK, {"k": 1536 * 128 + 1}),
        (ACK, {"r": [[20, 24, 28]]}),
        (ACK, {"r": [[20, 20]]}),
        (ACK, {"r": [[24, 20]]}),
        (ACK, {"r": [[20, 24], [24, 30]]}),
        (ACK, {"r": [[32, 48], [20, 24]]}),
        (ACK, {"r": [[16, 24]]}),
        (ACK, {"r": [[3, 5]]}),
        (ACK, {"r": [[-1, 5]]}),
        (ACK, {"r": [["20", 24]]}),
        (ACK, {"r": [[20, 1536 * 128 + 1]]}),
        (ACK, {"r": [[n, n + 1] for n in range(20, 54, 2)]}),
        (ACK, {"r": {}}),
        (ACK, {"cr": -1}),
        (ACK, {"cr": 2**32}),
        (ACK, {"fg": 1}),
        (HELLO, {"f": None}),
        (HELLO, {"f": {}}),
        (HELLO, {"f": {"md": "only"}}),
        (HELLO, {"u": 3}),
        (HELLO, {"u": {"u": "u1"}}),
        (CHUNK, {"d": b""}),
        (CHUNK, {"d": b"x" * (MAX_CHUNK_BYTES + 1)}),
        (CHUNK, {"d": "text"}),
        (CHUNK, {"n": 0}),
        (CHUNK, {"i": 1536 * 128}),
        (SIGNED, {"s": b"s" * 63}),
        (SIGNED, {"k": "0" * 15}),
        (SIGNED, {"b": b""}),
        (SIGNED, {"b": b"b" * (MAX_BODY_BYTES + 1)}),
        (m.Presence(epoch=1, online=True), {"on": 1}),
        (m.Presence(epoch=1, online=True), {"e": -1}),
        (m.Welcome(epoch=1, now_ms=1), {"ka": 9}),
        (m.Welcome(epoch=1, now_ms=1), {"cm": 1023}),
        (m.Receipt(upgrade="u1", seqs=(1,)), {"u": ""}),
        (m.Receipt(upgrade="u1", seqs=(1,)), {"q": [0]}),
        (m.Receipt(upgrade="u1", seqs=(1,)), {"q": [1] * 257}),
        (m.Receipt(upgrade="u1", seqs=(1,)), {"o": ["a b"]}),
    ],
    ids=lambda value: (
        next(iter(value)) + "=" + repr(next(iter(value.values())))[:40] if isinstance(value, dict) else kind_of(value)
    ),
)
def test_a_value_outside_its_limits_refuses_the_message(message: m.Message, keys: dict[str, object]) -> None:
    error = refused(kind_of(message), changed(message, **keys))

    assert error.code == "field_invalid"
    assert error.message.startswith(f"{next(iter(keys))} (")


def test_values_at_their_limits_are_taken() -> None:
    deep = {"a": {"b": {"c": {"d": {"e": 1}}}}}
    wide = {"a": tuple(range(510))}
    largest = dataclasses.replace(CHUNK, index=1536 * 128 - 1, data=b"x" * MAX_CHUNK_BYTES)

    for message in (dataclasses.replace(REPORT, detail=deep), dataclasses.replace(REPORT, detail=wide), largest):
        assert decode(kind_of(message), encode(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        dataclasses.replace(REPORT, upgrade="with space"),
        dataclasses.replace(REPORT, seq=2**70),
        dataclasses.replace(REPORT, detail={"a": "\ud800"}),
        dataclasses.replace(REPORT, detail={"a": 2**64}),
        dataclasses.replace(REPORT, detail={"x" * 65: 1}),
        dataclasses.replace(ACK, ranges=((3, 5),)),
        dataclasses.replace(HELLO, facts=dataclasses.replace(FACTS, battery_pct=101)),
        dataclasses.replace(CHUNK, data=b""),
        m.Receipt(seqs=(1,)),
    ],
    ids=kind_of,
)
def test_what_a_receiver_would_refuse_cannot_be_encoded(message: m.Message) -> None:
    with pytest.raises(WireError) as caught:
        encode(message)

    assert caught.value.code == "field_invalid"


def test_a_message_that_grows_too_large_as_a_whole_cannot_be_encoded() -> None:
    detail = {str(n): "x" * 4096 for n in range(17)}

    with pytest.raises(WireError) as caught:
        encode(dataclasses.replace(REPORT, detail=detail))

    assert caught.value.code == "payload_too_large"


def test_the_largest_of_everything_fits_into_a_payload() -> None:
    """Nothing that the limits of single fields allow is refused for its size, but a free-form map."""
    big = 2**53 - 1
    signed = dataclasses.replace(SIGNED, body=b"b" * MAX_BODY_BYTES)
    log = m.Log(upload=big, index=2**32 - 1, data=b"x" * MAX_CHUNK_BYTES, last=True)
    receipt = m.Receipt(upgrade="u" * 64, seqs=(2**32 - 1,) * 256, orders=("o" * 64,) * 256)
    chunk = m.Chunk(transfer=big, number=big, index=1536 * 128 - 1, stamp_ms=-big, data=b"x" * MAX_CHUNK_BYTES)

    assert max(len(encode(message)) for message in (signed, log, receipt, chunk)) <= MAX_PAYLOAD_BYTES


def test_read_only_maps_and_words_may_stand_in_free_form_maps() -> None:
    detail: m.PlainMap = MappingProxyType({"inner": MappingProxyType({"code": Code.BATTERY_LOW}), "list": (Code.OK,)})

    assert decode("report", encode(dataclasses.replace(REPORT, detail=detail))) == dataclasses.replace(
        REPORT, detail={"inner": {"code": "battery_low"}, "list": ("ok",)}
    )


def test_what_no_message_can_hold_cannot_be_encoded() -> None:
    detail: Any = {"a": {1, 2}}

    with pytest.raises(WireError):
        encode(dataclasses.replace(REPORT, detail=detail))


def test_order_bodies_and_envelopes_are_read_without_a_topic() -> None:
    order = m.Order(
        id="u1-1", counter=1, shard_epoch=0, terminal="t1", kind=OrderKind.REBOOT, args={}, not_before_ms=0, not_after_ms=1
    )

    assert decode_order(encode_order(order)) == order
    assert decode_signed(encode(SIGNED)) == SIGNED
    for key in ("id", "c", "t", "k", "a", "nb", "na"):
        fields = unpack(encode_order(order))
        del fields[key]
        with pytest.raises(WireError) as caught:
            decode_order(msgpack.packb(fields))
        assert caught.value.code == "field_invalid"
    assert {field.key for field in ORDER_BODY.keys} >= {"id", "c", "t", "k", "a", "nb", "na"}


def test_the_last_of_a_repeated_key_counts() -> None:
    assert decode("presence", b"\x83\xa1e\x01\xa2on\xc3\xa1e\x02") == m.Presence(epoch=2, online=True)


def test_messages_are_values() -> None:
    first, second = m.Presence(epoch=1, online=True), m.Presence(epoch=1, online=True)

    assert first == second
    assert hash(first) == hash(second)
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.epoch = 2  # type: ignore[misc]  # that it cannot be set is the point


def test_a_segment_is_a_whole_number_of_blocks_and_of_chunks() -> None:
    assert m.SEGMENT_BYTES == m.BLOCKS_PER_SEGMENT * m.BLOCK_BYTES == 131_072
    assert [m.BLOCKS_PER_SEGMENT % blocks for blocks in (1, 4, 16)] == [0, 0, 0]
