"""Lines of an export: exact as JSON, harmless as CSV, and possible whatever stands in the file."""

from __future__ import annotations

import csv
import io
import json
from hashlib import sha256

import pytest

from gateway.services.export import HEADINGS, csv_lines, json_lines
from gateway.store.audit import Kept
from gateway.trust.chain import COLUMNS, GENESIS, link_hash


def kept(**changes: bytes) -> Kept:
    """An entry as it stands in the file."""
    values = {name: name.encode() for name in COLUMNS}
    values |= {"seq": b"7", "prev_seq": b"0", "at_us": b"1795694400000123", "evidence": b'{"a":1.50,"t":"\\u00e9"}'}
    columns = [(values | changes)[name] for name in COLUMNS]
    return Kept(7, columns, link_hash(GENESIS, columns))


def cells(row: Kept) -> dict[str, str]:
    """The row as a spreadsheet reads it."""
    [found] = csv.reader(io.StringIO(csv_lines([row]).decode()))
    return dict(zip(HEADINGS, found, strict=True))


def test_a_line_of_json_is_enough_to_compute_the_hash() -> None:
    """By somebody who has this line and docs/adr/0015 alone."""
    line = json_lines([kept()]).decode()
    value = json.loads(line)
    evidence = line[line.index('"evidence":') + len('"evidence":') : -2]
    texts = [str(value[name]) for name in COLUMNS[:-1]] + [evidence]
    hashed = b"".join(b"%d:%b," % (len(text.encode()), text.encode()) for text in texts)

    assert sha256(bytes(32) + hashed).hexdigest() == value["hash"]
    assert value["at"] == "2026-11-26T12:00:00.000123Z"
    assert value["evidence"] == {"a": 1.5, "t": "é"}


@pytest.mark.parametrize("odd", [b"not json", b'{"a":\n1}', b"\xff\xfe", b""])
def test_a_row_that_was_tampered_with_still_makes_one_line(odd: bytes) -> None:
    [line] = json_lines([kept(evidence=odd, at_us=b"9" * 30, terminal=b"\xff")]).decode().splitlines()

    assert json.loads(line)["at"] == ""
    assert isinstance(json.loads(line)["evidence"], str)


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", " =1", "|cmd", "\uff1d1", "\n@x"])
def test_no_cell_is_a_formula(formula: str) -> None:
    for name in COLUMNS[3:]:
        found = cells(kept(**{name: formula.encode()}))[name]
        assert found.startswith("'"), name
        assert found[1:] == formula, name


def test_cells_that_are_no_formula_are_as_they_were() -> None:
    found = cells(kept(what=b'say "hi", you', code=b"two\nlines"))

    assert (found["seq"], found["prev_seq"], found["at_us"]) == ("7", "0", "1795694400000123")
    assert (found["what"], found["code"]) == ('say "hi", you', "two\nlines")
    assert cells(kept(at_us=b"-5"))["at_us"] == "-5"
    assert cells(kept(at_us=b"=5"))["at_us"] == "'=5"
