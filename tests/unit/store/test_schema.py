"""The tables know every state, and nothing refers to the ledger."""

from __future__ import annotations

from gateway.core.states import FINAL, UpgradeState
from gateway.store import schema


def test_every_state_is_open_or_final() -> None:
    assert sorted((*schema.OPEN_STATES, *schema.FINAL_STATES)) == sorted(UpgradeState)
    assert set(schema.FINAL_STATES) == FINAL


def test_the_ledger_stands_alone() -> None:
    assert not schema.ledger.foreign_keys
    assert all(key.column.table is not schema.ledger for table in schema.metadata.tables.values() for key in table.foreign_keys)
