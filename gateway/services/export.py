"""The ledger as a file: JSON lines that another program can verify, or CSV for a spreadsheet; a page in memory at a time.

A line of JSON holds the evidence as the very text that was hashed, so ``trust.chain`` can be computed from it. CSV does not:
what a spreadsheet would take for a formula gets an apostrophe before it, since a terminal decides what its evidence says.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import AsyncGenerator, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from gateway.services.context import Services
from gateway.services.days import end_us, start_us
from gateway.store import audit
from gateway.store.audit import Kept
from gateway.trust.chain import COLUMNS

Format = Literal["jsonl", "csv"]
#: Entries in one piece.
PAGE: Final = 500
_FIRST_US: Final = -(2**63)
_LAST_US: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS: Final = frozenset({"seq", "prev_seq", "at_us"})
HEADINGS: Final = ("seq", "at", *COLUMNS[1:], "hash")
#: What begins a formula in some spreadsheet (in full width and behind blanks too), or hides that one begins.
_FORMULA: Final = frozenset("=+-@|%\t\r\n")


async def export(
    services: Services, layout: Format, *, first_day: str = "", last_day: str = "", terminal: str = ""
) -> AsyncGenerator[bytes, None]:
    """The entries of these days (of their own times, in UTC) and of one terminal, when named, oldest number first.

    Raises:
        StoreError: the store cannot be read; what came before stands.
    """
    write = _WRITERS[layout]
    from_us = start_us(first_day) if first_day else _FIRST_US
    until_us = end_us(last_day) if last_day else _LAST_US
    if layout == "csv":
        yield _csv([HEADINGS])
    place = audit.FIRST
    while rows := await audit.kept(
        services.db, after_seq=place, from_us=from_us, until_us=until_us, terminal=terminal, limit=PAGE
    ):
        place = rows[-1].seq
        yield write(rows)


def json_lines(rows: Iterable[Kept]) -> bytes:
    """One object in each line."""
    return b"".join(_line(row) for row in rows)


def csv_lines(rows: Iterable[Kept]) -> bytes:
    """One row for each entry, by ``HEADINGS``."""
    return _csv([_safe(name, value) for name, value in _values(row).items()] for row in rows)


_WRITERS: Final[dict[Format, Callable[[Iterable[Kept]], bytes]]] = {"jsonl": json_lines, "csv": csv_lines}


def _values(row: Kept) -> dict[str, str]:
    """By ``HEADINGS``; what is no text in the file is shown as far as it can be."""
    texts = {name: column.decode("utf-8", "replace") for name, column in zip(COLUMNS, row.columns, strict=True)}
    return {name: texts.get(name, "") for name in HEADINGS} | {"at": _moment(texts["at_us"]), "hash": row.hash.hex()}


def _line(row: Kept) -> bytes:
    values = _values(row)
    evidence = values.pop("evidence")
    plain = {name: int(value) if name in _NUMBERS and _is_number(value) else value for name, value in values.items()}
    head = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return f'{head[:-1]},"evidence":{evidence if _is_json_line(evidence) else json.dumps(evidence)}}}\n'.encode()


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8")


def _safe(name: str, value: str) -> str:
    """``value`` so that no spreadsheet calculates it; numbers stay numbers."""
    if name in _NUMBERS and _is_number(value):
        return value
    first, shown = value[:1], unicodedata.normalize("NFKC", value.lstrip()[:1])
    return f"'{value}" if first in _FORMULA or shown in _FORMULA else value


def _moment(at_us: str) -> str:
    """RFC 3339 to the microsecond; empty for what is no time."""
    try:
        return (_EPOCH + timedelta(microseconds=int(at_us))).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return ""


def _is_number(value: str) -> bool:
    return value.removeprefix("-").isdecimal() and value.isascii()


def _is_json_line(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return "\n" not in text and "\r" not in text
