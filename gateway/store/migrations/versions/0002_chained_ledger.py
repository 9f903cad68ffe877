"""Chain the ledger by terminal, and make room for seals."""

from __future__ import annotations

import sqlite3
from typing import cast

import sqlalchemy as sa
from alembic import op

from gateway.store import chain

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PAGE = 1000


def upgrade() -> None:
    """Make the tables of heads and seals; write every entry anew with its place in its chain, a page at a time."""
    for verb in ("update", "delete"):
        op.execute(f"DROP TRIGGER ledger_refuses_{verb}")
    for name in ("ledger_by_campaign", "ledger_by_terminal"):
        op.drop_index(name, "ledger")
    op.rename_table("ledger", "ledger_unchained")
    op.create_table(
        "ledger",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("terminal", "campaign", "upgrade", "actor", "what", "from_state", "to_state", "code", "evidence")
        ),
        sa.Column("prev_seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "ledger_heads",
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("terminal"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_seals",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("sealed_us", "first_seq", "last_seq", "entry_count")),
        *(sa.Column(name, sa.LargeBinary(), nullable=False) for name in ("digest", "previous", "signature")),
        sa.Column("key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    _chain_entries()
    op.drop_table("ledger_unchained")
    op.create_index("ledger_by_campaign", "ledger", ["campaign", "seq"], unique=False)
    op.create_index("ledger_by_terminal", "ledger", ["terminal", "seq"], unique=False)
    for table in ("ledger", "ledger_seals"):
        for verb in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{verb} BEFORE {verb.upper()} ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )


def _chain_entries() -> None:
    # As today's gateway does; a later step that changes the columns of the ledger keeps a copy of this function here.
    connection = cast("sqlite3.Connection", op.get_bind().connection.dbapi_connection)
    after = 0
    while rows := connection.execute(
        "SELECT seq, at_us, terminal, campaign, upgrade, actor, what, from_state, to_state, code, evidence "
        "FROM ledger_unchained WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, PAGE),
    ).fetchall():
        chain.append_facts(connection, [row[1:] for row in rows])
        after = rows[-1][0]
