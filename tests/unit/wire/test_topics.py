"""Topics: one shape, one shard for each terminal, everything else refused with its reason."""

from __future__ import annotations

import zlib

import pytest

from gateway.errors import WireError
from gateway.wire.topics import SHARDS, Address, down, down_filter, is_terminal_id, parse_down, parse_up, shard_of, up

LONGEST = "x" * 64


def refused(topic: str) -> str:
    with pytest.raises(WireError) as caught:
        parse_up(topic)

    return caught.value.code


@pytest.mark.parametrize("terminal", ["t1", "A-b_9", "-", LONGEST])
@pytest.mark.parametrize("bulk", [False, True])
def test_a_topic_says_whose_it_is_on_which_connection_and_of_which_kind(terminal: str, bulk: bool) -> None:  # noqa: FBT001
    assert parse_up(up(terminal, "ack", bulk=bulk)) == Address(terminal, bulk, "ack")
    assert parse_down(down(terminal, "chunk", bulk=bulk)) == Address(terminal, bulk, "chunk")


def test_topics_look_as_the_protocol_says() -> None:
    assert up("till-1", "hello") == "tg1/up/98/till-1/hello"
    assert up("till-1", "ack", bulk=True) == "tg1/up/98/till-1.b/ack"
    assert down("till-1", "order") == "tg1/dn/till-1/order"
    assert down("till-1", "chunk", bulk=True) == "tg1/dn/till-1.b/chunk"
    assert down_filter("till-1") == "tg1/dn/till-1/+"
    assert down_filter("till-1", bulk=True) == "tg1/dn/till-1.b/+"


def test_the_longest_topic_fits_into_what_the_broker_allows() -> None:
    """The broker's largest packet leaves 94 bytes for a topic (mosquitto/mosquitto.conf)."""
    assert max(len(up(LONGEST, kind, bulk=True)) for kind in ("presence", "ack")) <= 94
    assert len(down(LONGEST, "welcome", bulk=True)) <= 94


def test_a_shard_is_the_crc_of_the_id() -> None:
    assert shard_of("123456789") == 0xCBF43926 % SHARDS
    assert all(shard_of(f"t{number}") == zlib.crc32(f"t{number}".encode()) % 256 for number in range(50))


def test_fleets_spread_over_all_shards() -> None:
    counts = [0] * SHARDS
    for number in range(20_000):
        counts[shard_of(f"lakala-{number:06}")] += 1

    assert min(counts) > 40
    assert max(counts) < 120


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "tg1/up/98/till-1",
        "tg1/up/98/till-1/",
        "tg1/up/98/till-1/ack/more",
        "tg1/up/098/till-1/ack",
        "tg1/up/-1/till-1/ack",
        "tg1/up/9999/till-1/ack",
        "tg1/up/98/till 1/ack",
        "tg1/up/98/till-1.c/ack",
        "tg1/up/98/till-1.b.b/ack",
        "tg1/up/98/.b/ack",
        "tg1/up/98/till-1/Ack",
        "tg1/up/98/till-1/ack\n",
        "tg1/up/\u0669\u0668/till-1/ack",
        f"tg1/up/1/{LONGEST}x/ack",
        "tg2/up/98/till-1/ack",
        "tg1/dn/till-1/order",
        "$SYS/broker/uptime",
    ],
)
def test_another_shape_is_refused(topic: str) -> None:
    assert refused(topic) == "topic_invalid"


@pytest.mark.parametrize("shard", [0, 97, 99, 354, 999])
def test_the_shard_must_be_the_terminals(shard: int) -> None:
    assert refused(f"tg1/up/{shard}/till-1/ack") == "shard_mismatch"


@pytest.mark.parametrize(
    "topic", ["", "tg1/dn/till-1", "tg1/dn/till-1/", "tg1/dn/1/till-1/order", "tg1/up/98/till-1/ack", "tg1/dn/+/order"]
)
def test_another_downlink_shape_is_refused(topic: str) -> None:
    with pytest.raises(WireError) as caught:
        parse_down(topic)

    assert caught.value.code == "topic_invalid"


def test_a_refusal_quotes_no_more_than_a_line_of_a_topic() -> None:
    with pytest.raises(WireError) as caught:
        parse_up("x" * 60_000)

    assert len(caught.value.message) < 300


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "a/b", "a+b", "#", "t.b", "\u7ec8\u7aef", "a\n"])
def test_some_texts_name_no_terminal(text: str) -> None:
    assert not is_terminal_id(text)
