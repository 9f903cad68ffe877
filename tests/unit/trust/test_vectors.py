"""Frozen signatures, a frozen conversation at a terminal's gate, and frozen manifests (docs/protocol.md 14)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.errors import TrustError
from gateway.trust import manifest
from gateway.trust.keys import KeyRing, key_id, public_of
from gateway.trust.orders import OrderGate, open_order, sign_order
from gateway.wire.codec import decode_order, decode_signed, encode

VECTORS: Final = json.loads((Path(__file__).parents[2] / "vectors" / "trust.json").read_text(encoding="utf-8"))
PUBLISHERS: Final = KeyRing([bytes.fromhex(VECTORS["keys"]["publisher"]["public"])])
ORDERS: Final = KeyRing([bytes.fromhex(VECTORS["keys"]["order"]["public"])])


@pytest.mark.parametrize("name", ["order", "publisher"])
def test_frozen_keys(name: str) -> None:
    key = VECTORS["keys"][name]
    public = public_of(bytes.fromhex(key["private"]))

    assert public.hex() == key["public"]
    assert key_id(public) == key["key"]


def test_the_frozen_conversation_at_the_gate_goes_as_ever() -> None:
    frozen = VECTORS["gate"]
    gate = OrderGate(counter=frozen["counter"], shard_epoch=frozen["shard_epoch"])

    for step in frozen["steps"]:
        answer: str
        try:
            order = open_order(decode_signed(bytes.fromhex(step["hex"])), ORDERS, terminal=frozen["terminal"])
            answer = gate.admit(order, step["now_ms"])
        except TrustError as exc:
            answer = exc.code
        assert (step["name"], answer, gate.counter) == (step["name"], step["answer"], step["counter"])


def test_frozen_orders_are_signed_as_ever() -> None:
    private = bytes.fromhex(VECTORS["keys"]["order"]["private"])
    for step in VECTORS["gate"]["steps"][:8]:
        signed = decode_signed(bytes.fromhex(step["hex"]))

        assert encode(sign_order(decode_order(signed.body), private)).hex() == step["hex"]


@pytest.mark.parametrize("vector", VECTORS["manifest"]["accepted"], ids=lambda vector: vector["name"])
def test_frozen_manifests_are_read_and_signed_as_ever(vector: dict[str, Any]) -> None:
    found = manifest.open_manifest(bytes.fromhex(vector["hex"]), PUBLISHERS)

    assert manifest.sign_manifest(found, bytes.fromhex(VECTORS["keys"]["publisher"]["private"])).hex() == vector["hex"]
    assert found.version == vector["map"]["v"]
    assert found.size_bytes == vector["map"]["sz"]


@pytest.mark.parametrize("vector", VECTORS["manifest"]["refused"], ids=lambda vector: vector["name"])
def test_frozen_bad_manifests_are_refused_as_ever(vector: dict[str, Any]) -> None:
    with pytest.raises(TrustError) as caught:
        manifest.open_manifest(bytes.fromhex(vector["hex"]), PUBLISHERS)

    assert caught.value.code == vector["code"]
