"""docs/protocol.md is the contract: every key, every word and every frozen byte of the code stands in it, where it belongs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.trust import manifest
from gateway.wire.codec import MAX_PAYLOAD_BYTES, NESTED, TABLES
from gateway.wire.codes import Code, Component, OrderKind, Phase, ResultStatus, What
from gateway.wire.fields import MAX_NODES, MAX_TEXT_CHARS, Field
from gateway.wire.messages import Message

ROOT: Final = Path(__file__).parents[3]
TEXT: Final = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
#: Where each list of words is explained.
LISTS: Final[dict[str, type[StrEnum]]] = {
    "7.1 What": What,
    "7.2 Code": Code,
    "7.3 OrderKind": OrderKind,
    "7.4 ResultStatus": ResultStatus,
    "7.5 Phase": Phase,
    "7.6 Component": Component,
}


def _sections() -> dict[str, str]:
    """Text by heading, without the sections below it."""
    parts = re.split(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


SECTIONS: Final = _sections()


def _rows(section: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("| `")]


def _hexes(value: object) -> Iterator[str]:
    """Every frozen byte string of a vector file."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in {"hex", "payload", "private", "public", "key", "sha256"} and isinstance(item, str) and item:
                yield item
            elif key != "map":
                yield from _hexes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _hexes(item)


def _tables() -> list[Any]:
    """(where it is explained, field, whether it must be there)."""
    numbered = {re.sub(r"^[0-9.]+ ", "", heading).strip("`"): text for heading, text in SECTIONS.items() if heading[0] == "4"}
    places = {kind: numbered[kind] for kind in TABLES}
    places |= {"hello.f": numbered["hello"], "hello.u": numbered["hello"], "order.b": SECTIONS["5.1 Envelope and body"]}
    places |= {"manifest": SECTIONS["11.1 Manifest"]}
    tables = {**TABLES, **NESTED, "manifest": manifest.TABLE}
    return [
        pytest.param(places[name], field, field.attribute in table.required, id=f"{name}.{field.key}")
        for name, table in tables.items()
        for field in table.keys
    ]


@pytest.mark.parametrize(("section", "field", "required"), _tables())
def test_every_key_is_explained(section: str, field: Field, required: bool) -> None:  # noqa: FBT001 - a parameter of the test
    rows = [row for row in _rows(section) if row[:2] == [f"`{field.key}`", f"`{field.attribute}`"]]

    assert len(rows) == 1
    kind, meaning = rows[0][2:]
    assert kind
    assert len(meaning) > 4
    assert required == ("optional" not in meaning and "may be left out" not in meaning)


def test_no_key_is_explained_that_does_not_exist() -> None:
    known = {
        (f"`{field.key}`", f"`{field.attribute}`") for table in [*TABLES.values(), *NESTED.values()] for field in table.keys
    }
    known |= {(f"`{field.key}`", f"`{field.attribute}`") for field in manifest.TABLE.keys}
    sections = [text for heading, text in SECTIONS.items() if heading.startswith(("4.", "5.1", "11.1"))]

    assert {(row[0], row[1]) for text in sections for row in _rows(text)} <= known


@pytest.mark.parametrize("heading", LISTS)
def test_every_word_has_its_meaning_in_its_order(heading: str) -> None:
    rows = _rows(SECTIONS[heading])

    assert [row[0] for row in rows] == [f"`{word}`" for word in LISTS[heading]]
    assert all(len(row) == 2 and len(row[1]) > 4 for row in rows)


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "vectors").glob("*.json")), ids=lambda path: path.stem)
def test_every_frozen_byte_stands_in_the_page(path: Path) -> None:
    found = set(_hexes(json.loads(path.read_text(encoding="utf-8"))))
    text = "\n" + TEXT.replace("`", "\n")

    assert {item for item in found if f"\n{item}\n" not in text} == set()


def test_every_topic_vector_stands_in_the_page() -> None:
    topics = json.loads((ROOT / "tests" / "vectors" / "topics.json").read_text(encoding="utf-8"))

    for vector in topics["accepted"]:
        assert all(f"`{vector[key]}`" in TEXT for key in ("terminal", "up", "up_bulk", "down", "down_bulk"))
    for vector in topics["refused"]:
        assert f"| `{vector['topic']}` | `{vector['code']}` |" in TEXT


def test_every_order_of_an_upgrade_has_its_arguments_and_its_phases() -> None:
    for kind in OrderKind:
        if kind.value.startswith("upgrade."):
            assert f"**`{kind}`**" in SECTIONS["5.4 Arguments and answers of orders of an upgrade"]
            assert f"| `{kind}`" in SECTIONS["5.3 Orders of an upgrade, by phase"]
        else:
            assert f"| `{kind}`" in SECTIONS["5.5 Other orders"]


def test_orders_are_checked_in_the_order_of_the_gate() -> None:
    section = SECTIONS["5.2 What a terminal checks, in this order"]
    codes = re.findall(r"refused, `([a-z_]+)`", section)

    assert codes == [
        Code.SIGNATURE_INVALID, Code.WRONG_TERMINAL, Code.COUNTER_REPLAYED, Code.SHARD_EPOCH_OLD, Code.NOT_YET_VALID,
        Code.ORDER_EXPIRED, Code.KIND_UNSUPPORTED, Code.UPGRADE_UNKNOWN, Code.BUSY,
    ]  # fmt: skip


def test_manifests_are_checked_in_the_order_of_the_code() -> None:
    codes = re.findall(r"\| `([a-z_]+)` \|$", SECTIONS["11.2 When a terminal refuses it"], flags=re.MULTILINE)

    assert codes == [
        Code.MANIFEST_INVALID, Code.SIGNATURE_INVALID, Code.MANIFEST_INVALID, Code.MODEL_MISMATCH, Code.ALREADY_INSTALLED,
        Code.VERSION_TOO_LOW, Code.BASE_VERSION_TOO_LOW,
    ]  # fmt: skip


def test_the_limits_are_those_of_the_code() -> None:
    section = SECTIONS["3 Encoding and limits"]

    assert f"| payload | {MAX_PAYLOAD_BYTES:,} bytes |" in section
    assert f"at most {MAX_TEXT_CHARS:,} characters" in section
    assert f"at most {MAX_NODES} values" in section
    assert f"at most {manifest.MAX_MANIFEST_BYTES:,} bytes" in SECTIONS["11.1 Manifest"]
    assert f"int 1..{manifest.MAX_PACKAGE_BYTES}" in SECTIONS["11.1 Manifest"]


def test_the_page_holds_together() -> None:
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in SECTIONS}
    kinds = {heading.split("`")[1] for heading in SECTIONS if heading.startswith("4.")}

    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
    assert TEXT.count("sequenceDiagram") == 3
    assert TEXT.count("```") % 2 == 0
    assert kinds == set(TABLES)
    assert len(kinds) == len(Message.__args__)
