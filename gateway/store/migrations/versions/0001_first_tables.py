"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table of the first version; the ledger with the triggers that keep it append-only."""
    op.create_table(
        "ledger",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("upgrade", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ledger_by_campaign", "ledger", ["campaign", "seq"], unique=False)
    op.create_index("ledger_by_terminal", "ledger", ["terminal", "seq"], unique=False)
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "packages",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("component", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("notes", sa.Text(), server_default="", nullable=False),
        sa.Column("uploaded_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("uploaded_by", sa.Text(), server_default="", nullable=False),
        sa.Column("withdrawn_us", sa.BigInteger(), nullable=True),
        sa.Column("withdrawn_by", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("packages_by_sha256", "packages", ["sha256"], unique=False)
    op.create_index("packages_by_time", "packages", ["uploaded_us", "id"], unique=False)
    op.create_table(
        "terminals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("registered_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("online", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seen_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("counter", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("facts", sa.Text(), nullable=True),
        sa.Column("os_version", sa.Text(), server_default="", nullable=False),
        sa.Column("kernel_version", sa.Text(), server_default="", nullable=False),
        sa.Column("app_version", sa.Text(), server_default="", nullable=False),
        sa.Column("params_version", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("terminals_by_app", "terminals", ["app_version", "id"], unique=False)
    op.create_index("terminals_by_kernel", "terminals", ["kernel_version", "id"], unique=False)
    op.create_index("terminals_by_model", "terminals", ["model", "id"], unique=False)
    op.create_index("terminals_by_os", "terminals", ["os_version", "id"], unique=False)
    op.create_index("terminals_by_params", "terminals", ["params_version", "id"], unique=False)
    op.create_table(
        "unknown_terminals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("first_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("times", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("unknown_terminals_by_last", "unknown_terminals", ["last_us", "id"], unique=False)
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("package", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("created_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=True),
        sa.Column("ends_us", sa.BigInteger(), nullable=True),
        sa.Column("finished_us", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('draft', 'running', 'paused', 'aborted', 'finished')", name="state_known"),
        sa.ForeignKeyConstraint(
            ["package"],
            ["packages.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("campaigns_by_package", "campaigns", ["package"], unique=False)
    op.create_index("campaigns_by_state", "campaigns", ["state", "created_us", "id"], unique=False)
    op.create_index("campaigns_by_time", "campaigns", ["created_us", "id"], unique=False)
    op.create_table(
        "orders",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), server_default="", nullable=False),
        sa.Column("data", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("status IN ('pending', 'sent', 'done', 'refused', 'failed', 'expired')", name="status_known"),
        sa.ForeignKeyConstraint(
            ["terminal"],
            ["terminals.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("orders_by_status", "orders", ["status", "created_us", "id"], unique=False)
    op.create_index("orders_by_terminal", "orders", ["terminal", "created_us", "id"], unique=False)
    op.create_index("orders_by_time", "orders", ["created_us", "id"], unique=False)
    op.create_table(
        "terminal_labels",
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["terminal"], ["terminals.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("terminal", "key"),
    )
    op.create_index("terminal_labels_by_value", "terminal_labels", ["key", "value", "terminal"], unique=False)
    op.create_table(
        "upgrades",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_since_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("due_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempt", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("code", sa.Text(), server_default="", nullable=False),
        sa.Column("have_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("snapshot", sa.LargeBinary(), server_default=sa.text("x''"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("campaign", "terminal", name="upgrades_once"),
        sa.ForeignKeyConstraint(["campaign"], ["campaigns.id"]),
        sa.ForeignKeyConstraint(["terminal"], ["terminals.id"]),
    )
    op.create_index("upgrades_by_state", "upgrades", ["campaign", "state", "wave", "terminal"], unique=False)
    op.create_index("upgrades_by_terminal", "upgrades", ["terminal"], unique=False)
    op.create_table(
        "transfers",
        sa.Column("upgrade", sa.Text(), nullable=False),
        sa.Column("transfer", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("at_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ended", sa.Text(), server_default="", nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
            for name in (
                *("useful_bytes", "sent_bytes", "resent_bytes", "overhead_bytes"),
                *("chunks", "acks", "probes", "connections"),
            )
        ),
        *(
            column
            for cause in ("payment", "budget", "credit", "silence")
            for column in (
                sa.Column(f"{cause}_count", sa.BigInteger(), server_default="0", nullable=False),
                sa.Column(f"{cause}_s", sa.Double(), server_default="0", nullable=False),
            )
        ),
        *(
            sa.Column(f"{what}_{part}", sa.BigInteger() if part == "count" else sa.Double(), nullable=True)
            for what in ("goodput", "delay")
            for part in ("p10", "p50", "p90", "p95", "p99", "count")
        ),
        sa.PrimaryKeyConstraint("upgrade", "transfer"),
    )
    op.create_table(
        "budgets",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("bytes_per_s", sa.BigInteger(), nullable=True),
        sa.Column("bytes_per_day", sa.BigInteger(), nullable=True),
        sa.Column("set_us", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("set_by", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("scope", "name"),
    )
    op.create_table(
        "budget_days",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ends_us", sa.BigInteger(), nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "name"),
    )
    op.create_index("transfers_by_campaign", "transfers", ["campaign"], unique=False)
    op.create_index("transfers_by_terminal", "transfers", ["terminal", "started_us"], unique=False)
    op.create_index("transfers_by_time", "transfers", ["started_us"], unique=False)
    for verb in ("update", "delete"):
        op.execute(
            f"CREATE TRIGGER ledger_refuses_{verb} BEFORE {verb.upper()} ON ledger "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        )
