"""The one way into the ledger: numbers each entry, links it to the one before of its terminal, and moves the terminal's head.

``append`` runs on the writer's connection inside a transaction that the caller begins and ends: ``batch`` calls it for what the
core decides, ``ledger`` and ``upgrades`` for what people do. Entries that concern no terminal make a chain of their own. What
the hashes are good for is in docs/adr/0015.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import Final

from gateway.core.effects import Append
from gateway.store import jsontext
from gateway.trust.chain import COLUMNS, GENESIS, link_hash

_HEADS: Final = "SELECT terminal, seq, hash FROM ledger_heads WHERE terminal IN (SELECT value FROM json_each(?))"
_LAST: Final = "SELECT coalesce(max(seq), 0) FROM ledger"
_APPEND: Final = f"INSERT INTO ledger ({', '.join(COLUMNS)}, hash) VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"  # noqa: S608 - our own names
_MOVE_HEAD: Final = (
    "INSERT INTO ledger_heads (terminal, seq, hash) VALUES (?,?,?) "
    "ON CONFLICT (terminal) DO UPDATE SET seq=excluded.seq, hash=excluded.hash"
)

Facts = tuple[int, str, str, str, str, str, str, str, str, str]
"""The columns of an entry between its numbers and its hash: ``at_us``, ``terminal`` and so on, evidence as JSON text."""
_Head = tuple[int, bytes]
_NO_HEAD: Final[_Head] = (0, GENESIS)


def append(connection: sqlite3.Connection, entries: Sequence[Append]) -> None:
    """Append ``entries`` in their order.

    Raises:
        sqlite3.Error: the database refused.
    """
    append_facts(connection, [facts_of(entry) for entry in entries])


def append_facts(connection: sqlite3.Connection, entries: Sequence[Facts]) -> None:
    """As ``append``, for entries that are rows already."""
    heads = _heads(connection, {facts[1] for facts in entries})
    seq = int(connection.execute(_LAST).fetchone()[0])
    rows: list[tuple[object, ...]] = []
    for facts in entries:
        seq += 1
        at_us, terminal, *texts = facts
        prev_seq, previous = heads.get(terminal, _NO_HEAD)
        numbers = (b"%d" % seq, b"%d" % prev_seq, b"%d" % at_us)
        digest = link_hash(previous, [*numbers, terminal.encode(), *[text.encode() for text in texts]])
        heads[terminal] = (seq, digest)
        rows.append((seq, prev_seq, *facts, digest))
    connection.executemany(_APPEND, rows)
    connection.executemany(_MOVE_HEAD, [(terminal, *head) for terminal, head in heads.items()])


def facts_of(entry: Append) -> Facts:
    """The row of an entry."""
    return (
        entry.at_us,
        entry.terminal,
        entry.campaign,
        entry.upgrade,
        entry.actor,
        entry.what,
        entry.from_state,
        entry.to_state,
        entry.code,
        jsontext.dump_evidence(entry.evidence),
    )


def _heads(connection: sqlite3.Connection, terminals: Collection[str]) -> dict[str, _Head]:
    return {terminal: (seq, digest) for terminal, seq, digest in connection.execute(_HEADS, (json.dumps(list(terminals)),))}
