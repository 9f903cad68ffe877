"""Plain values as JSON text: deterministic, always sayable, never longer than allowed."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import StoreError
from gateway.store import jsontext
from gateway.wire.messages import Facts

FACTS = Facts(
    model="lakala-4g-esign",
    components={"app": "2.1.0", "os": "11"},
    floors={"app": 7},
    slot="a",
    battery_pct=80,
    charging=False,
    storage_free_bytes=1 << 33,
    rat="lte",
    rssi_dbm=-97,
    operator="46000",
    time_zone="Asia/Shanghai",
    clock_ms=1_790_000_000_000,
    in_transaction=False,
    unsettled_count=3,
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.binary(max_size=64),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def test_equal_maps_give_equal_text() -> None:
    """Whatever the order in which the keys came."""
    assert jsontext.dump({"a": 1, "b": (2, 3)}) == jsontext.dump(MappingProxyType({"b": [2, 3], "a": 1})) == '{"a":1,"b":[2,3]}'


def test_bytes_become_hex() -> None:
    assert jsontext.dump_evidence({"sha256": b"\x00\xff"}) == '{"sha256":"hex:00ff"}'


def test_numbers_that_json_cannot_say_become_text() -> None:
    assert jsontext.dump({"a": float("nan"), "b": [float("-inf")], 3: b"\x01"}) == '{"3":"hex:01","a":"nan","b":["-inf"]}'


def test_a_long_text_is_cut_and_the_numbers_beside_it_stay() -> None:
    kept = json.loads(jsontext.dump_evidence({"log": "x" * 100_000, "battery_pct": 12}))

    assert kept["battery_pct"] == 12
    assert kept["log"].startswith("x" * jsontext.TEXT_MAX_CHARS)
    assert kept["log"].endswith("(100000 characters)")
    assert kept["_cut"] == "100027 characters"


def test_long_lists_and_maps_end_early_and_say_so() -> None:
    kept = json.loads(jsontext.dump_evidence({"ranges": list(range(5000)), "many": {str(key): key for key in range(400)}}))

    assert kept["ranges"][-1] == "… (5000 entries)"
    assert kept["many"]["_cut"] == "400 entries"


def test_evidence_that_stays_too_long_keeps_its_head() -> None:
    kept = json.loads(jsontext.dump_evidence({f"key{number:03}": "\\" * 400 for number in range(40)}))

    assert set(kept) == {"_cut", "head"}


@settings(max_examples=60)
@given(st.dictionaries(st.text(st.characters(codec=None), max_size=300), plain, max_size=40))
def test_any_evidence_is_a_json_object_within_the_limit(evidence: dict[str, object]) -> None:
    text = jsontext.dump_evidence(evidence)

    assert len(text) <= jsontext.EVIDENCE_MAX_CHARS
    assert text.isascii()
    assert isinstance(json.loads(text), dict)


def test_facts_come_back_as_they_were() -> None:
    assert jsontext.load_facts(jsontext.dump_facts(FACTS)) == FACTS


@pytest.mark.parametrize("text", ["{", '{"model":"x"}', "[]"])
def test_text_of_another_hand_is_a_store_error(text: str) -> None:
    with pytest.raises(StoreError) as caught:
        jsontext.load_facts(text)

    assert caught.value.code == "store_corrupt"
