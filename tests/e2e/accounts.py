"""Compares what the gateway has written down with itself and with what the terminals wrote down themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core.states import TRANSITIONS, UpgradeState
from tests.harness.stage import Stage

_MOVES = {(state.value, target.value) for (state, _), target in TRANSITIONS.items()}


def check_ledger(stage: Stage, campaign: str) -> None:
    """Every upgrade's entries are an unbroken chain of allowed moves from ``scheduled`` to the state that its row shows."""
    entries = stage.pages("/entries", campaign=campaign)
    assert [entry["seq"] for entry in entries] == sorted(entry["seq"] for entry in entries)
    rows = stage.pages(f"/campaigns/{campaign}/upgrades")
    for row in rows:
        state = UpgradeState.SCHEDULED.value
        for entry in entries:
            if entry["upgrade"] != row["id"] or not entry["from_state"]:
                continue
            assert entry["terminal"] == row["terminal"]
            assert entry["from_state"] == state, entry
            state = entry["to_state"]
            assert state == entry["from_state"] or (entry["from_state"], state) in _MOVES, entry
        assert state == row["state"]


def check_reports(stage: Stage, campaign: str, accounts: Mapping[str, Mapping[str, Any]]) -> None:
    """Each report that a terminal wrote down is in the ledger once, and nothing else is there in its name."""
    for row in stage.pages(f"/campaigns/{campaign}/upgrades"):
        account = accounts[row["terminal"]]
        history = stage.get(f"/upgrades/{row['id']}")["history"]
        recorded = [
            (entry["evidence"]["seq"], entry["what"], entry["evidence"]["at_ms"])
            for entry in history
            if entry["actor"] == "terminal" and "seq" in entry["evidence"]
        ]
        said = {
            (report["seq"], report["what"], report["at_ms"]) for report in account["reports"] if report["upgrade"] == row["id"]
        }
        assert len(recorded) == len(set(recorded)), f"taken in twice: {sorted(recorded)}"
        assert set(recorded) <= said, f"only in the ledger: {set(recorded) - said}"
        missing = said - set(recorded)
        assert {what for _, what, _ in missing} <= {"health"}, f"only on the terminal: {missing}"
        # Of health reports that wait, a terminal keeps the newest, and those may wait for their next sending still.
        assert len(missing) <= account["unreceipted"] + account["events"].get("health_dropped", 0), account["events"]


def check_bytes(accounts: Mapping[str, Mapping[str, Any]], size: int, *, wasted_max: int = 0) -> None:
    """Each terminal took every byte of the package, none of a verified segment twice, and no more than this in vain."""
    for account in accounts.values():
        assert account["useful_bytes"] == size, account
        assert account["repeated_bytes"] == 0, account
        assert account["received_bytes"] - size <= wasted_max, account
