"""Runs the steps in ``versions`` on the connection that ``gateway.store.migrate`` gives; all of them in its one transaction."""

from __future__ import annotations

from alembic import context

from gateway.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can, and Alembic's own caution about it concerns the driver's late BEGIN
    transaction_per_migration=False,
)
context.run_migrations()
