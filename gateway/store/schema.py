"""The tables. What is true now stands in ``terminals``, ``upgrades`` and ``orders``; how it came about stands in ``ledger``.

Read by every module of the store; ``migrations/`` builds the same tables step by step, and a test keeps both equal.
Column types are those that SQLite and PostgreSQL share. Times are microseconds of Unix time. JSON is kept as text that
``jsontext`` writes and reads. Booleans are 0 and 1. Nothing here refers to the ledger and the ledger refers to nothing, so that
it outlives what it tells of.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from gateway.core.states import FINAL, UpgradeState
from gateway.core.transfer.account import PauseCause

#: Final states of an upgrade as stored; everything else is open.
FINAL_STATES: Final = tuple(sorted(state.value for state in FINAL))
OPEN_STATES: Final = tuple(state.value for state in UpgradeState if state not in FINAL)

CAMPAIGN_STATES: Final = ("draft", "running", "paused", "aborted", "finished")
ORDER_STATUSES: Final = ("pending", "sent", "done", "refused", "failed", "expired")

#: The ledger and its seals know INSERT alone; any other statement fails in the database itself, whoever sends it.
APPEND_ONLY: Final = ("ledger", "ledger_seals")
LEDGER_TRIGGERS: Final = {
    f"{table}_refuses_{verb}": (
        f"CREATE TRIGGER {table}_refuses_{verb} BEFORE {verb.upper()} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    )
    for table in APPEND_ONLY
    for verb in ("update", "delete")
}

metadata = sa.MetaData()


def _one_of(column: str, words: tuple[str, ...]) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} IN ({', '.join(repr(word) for word in words)})", name=f"{column}_known")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


#: Small facts of the gateway itself, e.g. its shard epoch.
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

terminals = sa.Table(
    "terminals",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _text("model"),
    _number("registered_us"),
    _number("epoch"),
    sa.Column("online", sa.Integer, nullable=False, server_default="0"),
    _number("seen_us"),
    _number("counter"),
    sa.Column("facts", sa.Text),  # JSON of wire.messages.Facts; NULL before the first hello
    # copies out of the facts, so that a fleet can be filtered by version without reading a million JSON texts
    _text("os_version"),
    _text("kernel_version"),
    _text("app_version"),
    _text("params_version"),
    sa.Index("terminals_by_model", "model", "id"),
    sa.Index("terminals_by_os", "os_version", "id"),
    sa.Index("terminals_by_kernel", "kernel_version", "id"),
    sa.Index("terminals_by_app", "app_version", "id"),
    sa.Index("terminals_by_params", "params_version", "id"),
)

terminal_labels = sa.Table(
    "terminal_labels",
    metadata,
    sa.Column("terminal", sa.Text, sa.ForeignKey("terminals.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Index("terminal_labels_by_value", "key", "value", "terminal"),
)

#: Who spoke to the gateway without being registered; bounded, see ``terminals.note_unknown``.
unknown_terminals = sa.Table(
    "unknown_terminals",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _number("first_us"),
    _number("last_us"),
    _number("times"),
    sa.Index("unknown_terminals_by_last", "last_us", "id"),
)

packages = sa.Table(
    "packages",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("component", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Column("models", sa.Text, nullable=False),  # JSON list
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),  # hex
    sa.Column("file", sa.Text, nullable=False),  # name below the package folder
    sa.Column("manifest", sa.LargeBinary, nullable=False),  # the signed manifest as the terminal gets it
    _text("notes"),
    _number("uploaded_us"),
    _text("uploaded_by"),
    sa.Column("withdrawn_us", sa.BigInteger),
    _text("withdrawn_by"),
    sa.Index("packages_by_time", "uploaded_us", "id"),
    sa.Index("packages_by_sha256", "sha256"),
)

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("package", sa.Text, sa.ForeignKey("packages.id"), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("settings", sa.Text, nullable=False),  # JSON object
    _text("reason"),
    _number("created_us"),
    _text("created_by"),
    sa.Column("started_us", sa.BigInteger),
    sa.Column("ends_us", sa.BigInteger),
    sa.Column("finished_us", sa.BigInteger),
    _one_of("state", CAMPAIGN_STATES),
    sa.Index("campaigns_by_time", "created_us", "id"),
    sa.Index("campaigns_by_state", "state", "created_us", "id"),
    sa.Index("campaigns_by_package", "package"),
)

upgrades = sa.Table(
    "upgrades",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("campaign", sa.Text, sa.ForeignKey("campaigns.id"), nullable=False),
    sa.Column("terminal", sa.Text, sa.ForeignKey("terminals.id"), nullable=False),
    sa.Column("wave", sa.Integer, nullable=False),  # 0 canary, 1 the rest
    sa.Column("state", sa.Text, nullable=False),
    _number("state_since_us"),
    _number("due_us"),  # not to be started before
    _number("attempt"),
    _text("code"),
    _number("have_bytes"),
    sa.Column("snapshot", sa.LargeBinary, nullable=False, server_default=sa.text("x''")),
    sa.UniqueConstraint("campaign", "terminal", name="upgrades_once"),
    # No CHECK on the state: SQLite would build the list of words anew for each row written, at 15 microseconds a row.
    sa.Index("upgrades_by_state", "campaign", "state", "wave", "terminal"),
    sa.Index("upgrades_by_terminal", "terminal"),
)

#: Columns of ``transfers`` that stand for one figure of ``core.transfer.account.Quantiles`` each, in the order of its fields.
QUANTILE_PARTS: Final = ("p10", "p50", "p90", "p95", "p99", "count")

#: What each transfer cost. Plain columns, so that a campaign's totals are one statement; quantiles are NULL when not measured.
transfers = sa.Table(
    "transfers",
    metadata,
    sa.Column("upgrade", sa.Text, primary_key=True),
    sa.Column("transfer", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("terminal", sa.Text, nullable=False),
    sa.Column("campaign", sa.Text, nullable=False),
    _number("started_us"),
    _number("at_us"),
    _text("ended"),
    *(_number(f"{what}_bytes") for what in ("useful", "sent", "resent", "overhead")),
    *(_number(what) for what in ("chunks", "acks", "probes", "connections")),
    *(
        column
        for cause in PauseCause
        for column in (
            _number(f"{cause.value}_count"),
            sa.Column(f"{cause.value}_s", sa.Double, nullable=False, server_default="0"),
        )
    ),
    *(sa.Column(f"goodput_{part}", sa.BigInteger if part == "count" else sa.Double) for part in QUANTILE_PARTS),
    *(sa.Column(f"delay_{part}", sa.BigInteger if part == "count" else sa.Double) for part in QUANTILE_PARTS),
    # None of these columns ever changes, so saving a transfer's progress moves no index.
    sa.Index("transfers_by_terminal", "terminal", "started_us"),
    sa.Index("transfers_by_campaign", "campaign"),
    sa.Index("transfers_by_time", "started_us"),
)

#: Budgets that a person has set; what is NULL, or has no row, is as the settings or the campaign's terms say.
budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),  # empty: the gateway's own, or what holds for all terminals or sites
    sa.Column("bytes_per_s", sa.BigInteger),
    sa.Column("bytes_per_day", sa.BigInteger),
    _number("set_us"),
    _text("set_by"),
)

#: What was granted of each budget in the day that ended last or runs now: one row for each, whatever time passes.
budget_days = sa.Table(
    "budget_days",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("ends_us", sa.BigInteger, nullable=False),
    sa.Column("used_bytes", sa.BigInteger, nullable=False),
)

#: Orders that are not part of an upgrade.
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("terminal", sa.Text, sa.ForeignKey("terminals.id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("args", sa.Text, nullable=False),  # JSON object
    sa.Column("status", sa.Text, nullable=False),
    _text("code"),
    sa.Column("data", sa.Text, nullable=False, server_default="{}"),  # JSON object
    _number("created_us"),
    _text("created_by"),
    sa.Column("expires_us", sa.BigInteger, nullable=False),
    _number("updated_us"),
    _one_of("status", ORDER_STATUSES),
    sa.Index("orders_by_time", "created_us", "id"),
    sa.Index("orders_by_terminal", "terminal", "created_us", "id"),
    sa.Index("orders_by_status", "status", "created_us", "id"),
)

ledger = sa.Table(
    "ledger",
    metadata,
    # Nothing is ever deleted, so no number is given twice and a reader's place in the stream stays true.
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("terminal", sa.Text, nullable=False),
    sa.Column("campaign", sa.Text, nullable=False),
    sa.Column("upgrade", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("from_state", sa.Text, nullable=False),
    sa.Column("to_state", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),  # JSON object
    # the chain of the terminal, see ``chain``: 0 before its first entry
    sa.Column("prev_seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    # The entries of an upgrade are found among those of its terminal: an index less for every entry written.
    sa.Index("ledger_by_terminal", "terminal", "seq"),
    sa.Index("ledger_by_campaign", "campaign", "seq"),
)

#: The last entry of each terminal, so that its chain goes on after a restart and a cut end is found.
ledger_heads = sa.Table(
    "ledger_heads",
    metadata,
    sa.Column("terminal", sa.Text, primary_key=True),  # '' for entries about no terminal
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

#: What ``trust.seals`` signed: one for each day with entries.
ledger_seals = sa.Table(
    "ledger_seals",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("sealed_us", sa.BigInteger, nullable=False),
    sa.Column("first_seq", sa.BigInteger, nullable=False),
    sa.Column("last_seq", sa.BigInteger, nullable=False),
    sa.Column("entry_count", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("previous", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
)

for _name, _trigger in LEDGER_TRIGGERS.items():
    _table = metadata.tables[_name.split("_refuses_")[0]]
    sa.event.listen(_table, "after_create", sa.DDL(_trigger).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call] # it has no annotations
