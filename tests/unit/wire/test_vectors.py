"""The frozen bytes: what went over the air once must be read and written the same way for ever (docs/protocol.md 14).

A vector is never changed. A new field gets new vectors beside the old ones, which must still be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.errors import WireError
from gateway.wire import topics
from gateway.wire.codec import ORDER_BODY, TABLES, decode, decode_order, encode, encode_order
from gateway.wire.codes import OrderKind

FOLDER: Final = Path(__file__).parents[2] / "vectors"


def _load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _cases(part: str) -> list[Any]:
    """All vectors of all kinds as ``(kind, vector)``, named after both."""
    return [
        pytest.param(kind, vector, id=f"{kind}: {vector['name']}")
        for kind in [*TABLES, "order_body"]
        for vector in _load(kind)[part]
    ]


def _as_json(value: object) -> object:
    """A written map as the vectors show it: byte strings as ``{"$hex": ...}``, words as their text."""
    if isinstance(value, bytes):
        return {"$hex": value.hex()}
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    return value


@pytest.mark.parametrize(("kind", "vector"), _cases("accepted"))
def test_frozen_bytes_are_read_and_written_as_ever(kind: str, vector: dict[str, Any]) -> None:
    payload = bytes.fromhex(vector["hex"])

    if kind == "order_body":
        order = decode_order(payload)
        assert encode_order(order) == payload
        assert _as_json(ORDER_BODY.write(order)) == vector["map"]
    else:
        message = decode(kind, payload)
        assert encode(message) == payload
        assert _as_json(TABLES[kind].write(message)) == vector["map"]


@pytest.mark.parametrize(("kind", "vector"), _cases("refused"))
def test_frozen_bad_bytes_are_refused_as_ever(kind: str, vector: dict[str, Any]) -> None:
    payload = bytes.fromhex(vector["hex"])

    with pytest.raises(WireError) as caught:
        decode_order(payload) if kind == "order_body" else decode(kind, payload)

    assert caught.value.code == vector["code"]


@pytest.mark.parametrize("kind", [*TABLES, "order_body"])
def test_every_kind_has_vectors_of_both_sorts(kind: str) -> None:
    assert len(_load(kind)["accepted"]) >= 2
    assert len(_load(kind)["refused"]) >= 2


def test_every_kind_of_order_has_a_vector() -> None:
    assert {vector["map"]["k"] for vector in _load("order_body")["accepted"]} == set(OrderKind)


@pytest.mark.parametrize("vector", _load("topics")["accepted"], ids=lambda vector: vector["terminal"][:16])
def test_frozen_topics(vector: dict[str, Any]) -> None:
    terminal = vector["terminal"]

    assert topics.shard_of(terminal) == vector["shard"]
    assert topics.up(terminal, "report") == vector["up"]
    assert topics.up(terminal, "ack", bulk=True) == vector["up_bulk"]
    assert topics.down(terminal, "order") == vector["down"]
    assert topics.down(terminal, "chunk", bulk=True) == vector["down_bulk"]


@pytest.mark.parametrize("vector", _load("topics")["refused"], ids=lambda vector: vector["topic"])
def test_frozen_bad_topics(vector: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        topics.parse_up(vector["topic"])

    assert caught.value.code == vector["code"]
