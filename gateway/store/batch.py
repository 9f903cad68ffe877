"""One batch of saves as SQL: at most one prepared statement per table, its rows as plain tuples; ``chain`` writes the ledger's.

Called by ``Writer`` in the database's writer thread, inside a transaction. Rows of one table keep the order of the saves. Plain
driver calls instead of SQLAlchemy expressions, because this is the one path whose cost is paid for every report and every
transition.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final, assert_never

from gateway.core.effects import Append, Save, SaveDay, SaveOrder, SaveTerminal, SaveTransfer, SaveUpgrade
from gateway.core.transfer.account import PauseCause, Quantiles
from gateway.errors import StoreError
from gateway.store import chain, jsontext
from gateway.store.schema import QUANTILE_PARTS, transfers

_TERMINAL: Final = "UPDATE terminals SET epoch=?, online=?, seen_us=?, counter=? WHERE id=?"
#: Apart from the above: these columns have indexes, and most saves of a terminal bring no facts.
_FACTS: Final = (
    "UPDATE terminals SET facts=?, os_version=?, kernel_version=?, app_version=?, params_version=?, "
    "model=CASE model WHEN '' THEN ? ELSE model END WHERE id=?"
)
_UPGRADE: Final = (
    "UPDATE upgrades SET state=?, state_since_us=?, due_us=?, attempt=?, code=?, have_bytes=?, snapshot=? WHERE id=?"
)
_ORDER: Final = "UPDATE orders SET status=?, code=?, updated_us=?, data=? WHERE id=? AND terminal=?"

_TRANSFER_COLUMNS: Final = tuple(column.name for column in transfers.columns)
_FIXED: Final = frozenset({"upgrade", "transfer", "terminal", "campaign", "started_us"})  # keys and indexed: left as they are
_TRANSFER: Final = (
    f"INSERT INTO transfers ({', '.join(_TRANSFER_COLUMNS)}) "  # noqa: S608 - names of our own columns
    f"VALUES ({', '.join('?' * len(_TRANSFER_COLUMNS))}) ON CONFLICT (upgrade, transfer) DO UPDATE SET "
    + ", ".join(f"{name}=excluded.{name}" for name in _TRANSFER_COLUMNS if name not in _FIXED)
)
_DAY: Final = (
    "INSERT INTO budget_days (scope, name, ends_us, used_bytes) VALUES (?,?,?,?) "
    "ON CONFLICT (scope, name) DO UPDATE SET ends_us=excluded.ends_us, used_bytes=excluded.used_bytes"
)
_NOT_MEASURED: Final = (None,) * len(QUANTILE_PARTS)

_Row = tuple[object, ...]


def apply(connection: sqlite3.Connection, saves: Iterable[Save]) -> int:
    """Write the rows of ``saves`` and return how many there were; the caller begins and commits.

    Raises:
        StoreError: a terminal, upgrade or order to be updated is not there (``store_row_missing``).
        sqlite3.Error: the database refused.
    """
    terminals: list[_Row] = []
    facts: list[_Row] = []
    upgrades: list[_Row] = []
    orders: list[_Row] = []
    accounts: list[_Row] = []
    days: list[_Row] = []
    entries: list[chain.Facts] = []

    for save in saves:
        match save:
            case Append():
                entries.append(chain.facts_of(save))
            case SaveUpgrade():
                upgrades.append(_upgrade(save))
            case SaveTransfer():
                accounts.append(_account(save))
            case SaveTerminal():
                terminals.append((save.epoch, int(save.online), save.seen_us, save.counter, save.terminal))
                if save.facts is not None:
                    facts.append(_facts(save.terminal, save))
            case SaveOrder():
                orders.append(
                    (str(save.status), str(save.code), save.at_us, jsontext.dump_evidence(save.data), save.order, save.terminal)
                )
            case SaveDay():
                days.append((save.scope.value, save.name, save.ends_us, save.used_bytes))
            case _:
                assert_never(save)

    for what, statement, rows in (
        ("terminals", _TERMINAL, terminals),
        ("terminals", _FACTS, facts),
        ("upgrades", _UPGRADE, upgrades),
        ("orders", _ORDER, orders),
        ("transfers", _TRANSFER, accounts),
        ("budget_days", _DAY, days),
    ):
        if rows and connection.executemany(statement, rows).rowcount != len(rows):
            raise StoreError(f"a row of {what} to be saved does not exist", code="store_row_missing", table=what)
    if entries:
        chain.append_facts(connection, entries)
    return len(terminals) + len(upgrades) + len(orders) + len(accounts) + len(days) + len(entries)


def _upgrade(save: SaveUpgrade) -> _Row:
    return (
        save.state,
        save.state_since_us,
        save.due_us,
        save.attempt,
        save.code,
        save.have_bytes,
        save.snapshot,
        save.upgrade,
    )


def _account(save: SaveTransfer) -> _Row:
    """In the order of the table's columns."""
    one = save.account
    pauses = [one.pauses.get(cause) for cause in PauseCause]
    return (
        save.upgrade,
        save.transfer,
        save.terminal,
        save.campaign,
        save.started_us,
        save.at_us,
        save.ended,
        one.useful_bytes,
        one.sent_bytes,
        one.resent_bytes,
        one.overhead_bytes,
        one.chunks,
        one.acks,
        one.probes,
        one.connections,
        *(figure for pause in pauses for figure in ((pause.count, pause.seconds) if pause else (0, 0.0))),
        *_quantiles(one.goodput_bps),
        *_quantiles(one.delay_ms),
    )


def _quantiles(found: Quantiles | None) -> _Row:
    return (found.p10, found.p50, found.p90, found.p95, found.p99, found.count) if found else _NOT_MEASURED


def _facts(terminal: str, save: SaveTerminal) -> _Row:
    facts = save.facts
    assert facts is not None  # noqa: S101 - the caller looked
    version = facts.components.get
    return (
        jsontext.dump_facts(facts),
        version("os", ""),
        version("kernel", ""),
        version("app", ""),
        version("params", ""),
        facts.model,
        terminal,
    )
