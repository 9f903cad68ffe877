"""The ledger as an auditor reads it: columns as raw bytes, so that rows can be judged and exported whatever they hold by now.

``services.audit`` and ``services.export`` page through it. Casting to bytes keeps a text that is no UTF-8, or a number that is
none any more, from failing the read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from gateway.store.database import Source, reading
from gateway.trust.audit import FINDINGS_MAX, Link
from gateway.trust.chain import COLUMNS, GENESIS

_COLUMNS: Final = ", ".join(f"CAST(l.{name} AS BLOB)" for name in COLUMNS)
# All names are our own; the values are bound.
_LINKS: Final = f"""
    SELECT {_COLUMNS}, CAST(l.hash AS BLOB), l.seq, CAST(l.prev_seq AS INTEGER),
        CAST(p.hash AS BLOB), CAST(p.terminal AS BLOB), CAST(h.seq AS INTEGER), CAST(h.hash AS BLOB),
        (SELECT group_concat(seq) FROM (
            SELECT n.seq FROM ledger n
            WHERE n.terminal = l.terminal AND n.seq > l.prev_seq AND n.seq < l.seq LIMIT {FINDINGS_MAX})),
        b.seq, CAST(b.hash AS BLOB)
    FROM ledger l
    LEFT JOIN ledger b
        ON b.seq = (SELECT n.seq FROM ledger n WHERE n.terminal = l.terminal AND n.seq < l.seq ORDER BY n.seq DESC LIMIT 1)
    LEFT JOIN ledger p ON p.seq = l.prev_seq LEFT JOIN ledger_heads h ON h.terminal = l.terminal
    WHERE l.seq > :after AND l.seq <= :last ORDER BY l.seq LIMIT :limit
"""  # noqa: S608 - see above
_LOST_HEADS: Final = f"""
    SELECT CAST(h.terminal AS BLOB), CAST(h.seq AS INTEGER)
    FROM ledger_heads h LEFT JOIN ledger l ON l.seq = h.seq AND l.terminal = h.terminal
    WHERE l.seq IS NULL ORDER BY h.seq LIMIT {FINDINGS_MAX}
"""  # noqa: S608 - see above
_KEPT: Final = f"""
    SELECT {_COLUMNS}, CAST(l.hash AS BLOB), l.seq FROM ledger l
    WHERE l.seq > :after AND l.at_us >= :from_us AND l.at_us < :until_us AND (:terminal = '' OR l.terminal = :terminal)
    ORDER BY l.seq LIMIT :limit
"""  # noqa: S608 - see above
_KEPT_OF_ONE: Final = _KEPT.replace("(:terminal = '' OR l.terminal = :terminal)", "l.terminal = :terminal")
_WIDTH: Final = len(COLUMNS)
#: Before every number that SQLite can give to a row.
FIRST: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class Kept:
    """One entry as it stands in the file."""

    seq: int
    columns: Sequence[bytes]
    """As ``trust.chain.COLUMNS`` names them."""
    hash: bytes


async def links(db: Source, *, after_seq: int, last_seq: int, limit: int) -> Sequence[Link]:
    """The next ``limit`` entries after ``after_seq`` up to ``last_seq``, each with what stands around it."""
    rows = await _fetch(db, _LINKS, {"after": after_seq, "last": last_seq, "limit": limit})
    return [_link(row) for row in rows]


async def lost_heads(db: Source) -> Sequence[tuple[str, int]]:
    """Terminals whose last entry, by this number, is not in the ledger; so many as an audit can name."""
    return [(_text(row[0]), row[1] or 0) for row in await _fetch(db, _LOST_HEADS, {})]


async def kept(db: Source, *, after_seq: int, from_us: int, until_us: int, terminal: str = "", limit: int) -> Sequence[Kept]:
    """The next ``limit`` entries after ``after_seq`` of this time (and of one terminal, when named), by number."""
    parameters = {"after": after_seq, "from_us": from_us, "until_us": until_us, "terminal": terminal, "limit": limit}
    rows = await _fetch(db, _KEPT_OF_ONE if terminal else _KEPT, parameters)
    return [Kept(row[-1], row[:_WIDTH], row[-2]) for row in rows]


async def _fetch(db: Source, statement: str, parameters: Mapping[str, object]) -> Sequence[tuple[Any, ...]]:
    async with reading(db) as tx:
        return [tuple(row) for row in await tx.fetch(sa.text(statement), parameters)]


def _link(row: tuple[Any, ...]) -> Link:
    entry_hash, seq, prev_seq, prev_hash, prev_terminal, head_seq, head_hash, between, *before = row[_WIDTH:]
    return Link(
        seq=seq,
        columns=row[:_WIDTH],
        prev_seq=prev_seq,
        terminal=_text(row[COLUMNS.index("terminal")]),
        hash=entry_hash,
        prev_hash=prev_hash,
        prev_terminal=_text(prev_terminal or b""),
        before=(before[0] or 0, before[1] or GENESIS),
        between=[int(one) for one in between.split(",")] if between else (),
        head_seq=head_seq or 0,
        head_hash=head_hash or b"",
    )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
