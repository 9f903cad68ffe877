"""Each invariant of a chaos run is broken by what breaks it, and by nothing in sound evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scripts._chaos.evidence import Entry, Evidence, Struck, Upgrade
from scripts._chaos.invariants import AGAIN_PER_BREAK_BYTES, INVARIANTS, judge

_PATH = (
    ("campaign", "start", "scheduled", "offered"),
    ("terminal", "accepted", "offered", "preparing"),
    ("terminal", "ready", "preparing", "ready"),
    ("gateway", "transfer", "ready", "transferring"),
    ("terminal", "staged", "transferring", "staged"),
    ("gateway", "install", "staged", "installing"),
    ("terminal", "installing", "installing", "installing"),
    ("terminal", "booted", "installing", "verifying"),
    ("terminal", "verified", "verifying", "soaking"),
    ("terminal", "health", "soaking", "soaking"),
    ("terminal", "committed", "soaking", "succeeded"),
)


def entries() -> list[Entry]:
    """An upgrade that went well, a second each, and an order's result."""
    found: list[Entry] = []
    reports = 0
    for seq, (actor, what, before, after) in enumerate(_PATH, 1):
        reports += actor == "terminal"
        found.append(
            Entry(
                seq=seq,
                at_us=seq * 1_000_000,
                terminal="t1",
                upgrade="u1",
                actor=actor,
                what=what,
                from_state=before,
                to_state=after,
                code="ok",
                evidence={"seq": reports} if actor == "terminal" else {},
            )
        )
    result = replace(found[0], seq=99, upgrade="", actor="terminal", what="result:done", from_state="", to_state="")
    return [*found, replace(result, evidence={"order": "o9"})]


def life(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The same, as the terminal journalled it."""
    told = [what for actor, what, _, _ in _PATH if actor == "terminal"]
    said: list[dict[str, Any]] = [
        {"upgrade": "u1", "seq": seq, "what": what, "code": "ok", "receipted": True, "dropped": False}
        for seq, what in enumerate(told, 1)
    ]
    said.append({"order": "o9", "status": "done", "code": "ok", "receipted": True, "dropped": False})
    return {
        "said": said,
        "installs": {"u1": 1},
        "executed": {"u1-1": [1], "u1-2": [2], "o9": [3]},
        "orders_back": [],
        "seq_reused": 0,
        "epoch": 4,
        "shard_epoch": 10,
        "bulk_epoch": 1,
        "unreceipted": 0,
    } | changes


def evidence(**changes: Any) -> Evidence:  # noqa: ANN401 - whatever a field holds
    """Nothing wrong with it, but for ``changes``."""
    sound = Evidence(
        upgrades=[Upgrade(id="u1", terminal="t1", campaign="c1", state="succeeded")],
        entries=entries(),
        campaigns={"chaos 1": "finished"},
        orders={"o9": "done"},
        terminals={"t1": (4, True)},
        shard_epoch=10,
        lives={"t1": life()},
        again_bytes={"t1": 0},
    )
    return replace(sound, **changes)


def without(what: str) -> list[Entry]:
    return [entry for entry in entries() if entry.what != what]


def said(change: Callable[[list[dict[str, Any]]], object]) -> dict[str, Any]:
    found = life()
    change(found["said"])
    return {"t1": found}


REPORTS, INSTALL, STUCK, LEDGER, CHAIN, OUTCOME, EPOCH, SEGMENT, ONLINE, STORE, FELL = INVARIANTS

BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "a receipted report is missing": (REPORTS, {"entries": without("health")}),
    "a report was taken in twice": (REPORTS, {"entries": [*entries(), replace(entries()[9], seq=100)]}),
    "a report was never said": (REPORTS, {"lives": said(lambda told: told.pop(6))}),
    "a report was kept as another": (REPORTS, {"lives": said(lambda told: told[6].update(what="failed"))}),
    "a result is missing": (REPORTS, {"entries": without("result:done")}),
    "a number was used twice": (REPORTS, {"lives": {"t1": life(seq_reused=1)}}),
    "installed twice": (INSTALL, {"lives": {"t1": life(installs={"u1": 2})}}),
    "an order executed twice": (INSTALL, {"lives": {"t1": life(executed={"o9": [3, 9]})}}),
    "an upgrade waits": (STUCK, {"upgrades": [Upgrade(id="u1", terminal="t1", campaign="c1", state="soaking")]}),
    "a campaign waits": (STUCK, {"campaigns": {"chaos 1": "running"}}),
    "an order waits": (STUCK, {"orders": {"o9": "sent"}}),
    "a report waits": (STUCK, {"lives": {"t1": life(unreceipted=1)}}),
    "an entry is missing": (LEDGER, {"entries": without("booted")}),
    "a move that no table allows": (LEDGER, {"entries": [*entries()[:-2], replace(entries()[-2], to_state="offered")]}),
    "a row is ahead of the ledger": (LEDGER, {"entries": entries()[:-2]}),
    "an entry was changed": (CHAIN, {"chain_says": ["changed 7 of t1: its columns do not give its hash"]}),
    "the outcomes differ": (OUTCOME, {"lives": said(lambda told: told[7].update(what="rolled_back"))}),
    "a success that nobody proved": (OUTCOME, {"lives": said(lambda told: told.pop(7))}),
    "an order of an older epoch": (EPOCH, {"lives": {"t1": life(orders_back=[(7, 9)])}}),
    "an epoch that never was": (EPOCH, {"lives": {"t1": life(shard_epoch=11)}}),
    "a segment again without a break": (SEGMENT, {"again_bytes": {"t1": 1}}),
    "offline": (ONLINE, {"terminals": {"t1": (4, False)}}),
    "an older epoch": (ONLINE, {"terminals": {"t1": (3, True)}}),
    "a damaged store": (STORE, {"store_says": "row 7 missing from index"}),
    "a process that fell": (FELL, {"fell": ["gateway ended by itself"]}),
}


def test_sound_evidence_breaks_nothing() -> None:
    assert judge(evidence()) == {name: [] for name in INVARIANTS}


@pytest.mark.parametrize(("invariant", "changes"), BROKEN.values(), ids=list(BROKEN))
def test_a_breach_is_found(invariant: str, changes: dict[str, Any]) -> None:
    assert judge(evidence(**changes))[invariant]


def test_bytes_that_come_again_are_allowed_by_breaks_of_a_transfer() -> None:
    """A second bulk connection, or a fault while a transfer was open (seconds 4 to 5); not one before or after it."""
    again = {"t1": AGAIN_PER_BREAK_BYTES}
    during = Struck(name="gateway", began_at=4.5, ended_at=4.6)
    before = Struck(name="gateway", began_at=1.0, ended_at=3.5)

    def broken(**changes: Any) -> bool:  # noqa: ANN401 - whatever a field holds
        return bool(judge(evidence(again_bytes=again, **changes))[SEGMENT])

    assert broken()
    assert broken(struck=[before])
    assert not broken(struck=[before, during])
    assert not broken(lives={"t1": life(bulk_epoch=2)})


def test_health_reports_that_made_room_are_no_loss() -> None:
    def drop(told: list[dict[str, Any]]) -> None:
        told[6].update(receipted=False, dropped=True)

    assert judge(evidence(lives=said(drop), entries=without("health"))) == {name: [] for name in INVARIANTS}
