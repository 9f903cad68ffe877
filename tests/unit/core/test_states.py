"""The one table of an upgrade's states: what it must allow, what it must never allow, and that its picture is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.states import (
    ACTIVE,
    ASSUMED,
    FINAL,
    PATH,
    REVOCABLE,
    TRANSITIONS,
    Trigger,
    UpgradeState,
    advance,
    allowed,
    as_mermaid,
)
from gateway.errors import StateError

S, T = UpgradeState, Trigger
ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"

#: What a terminal says; all other triggers are the gateway's.
REPORTS = frozenset(
    {T.ACCEPTED, T.POSTPONED, T.REFUSED, T.READY, T.STAGED, T.INSTALLING, T.BOOTED, T.VERIFIED, T.COMMITTED, T.ROLLED_BACK}
)
#: What a terminal can prove: it runs the new version, or it is back on the old one.
PROOFS = frozenset({T.BOOTED, T.VERIFIED, T.COMMITTED, T.ROLLED_BACK})


def reachable(start: UpgradeState) -> set[UpgradeState]:
    found, fresh = {start}, [start]
    while fresh:
        at = fresh.pop()
        for (origin, _), target in TRANSITIONS.items():
            if origin is at and target not in found:
                found.add(target)
                fresh.append(target)
    return found


def rows(*, states: frozenset[UpgradeState] | None = None, trigger: Trigger | None = None) -> dict[UpgradeState, UpgradeState]:
    return {
        origin: target
        for (origin, by), target in TRANSITIONS.items()
        if (states is None or origin in states) and (trigger is None or by is trigger)
    }


def test_every_state_can_be_reached_from_scheduled() -> None:
    assert reachable(S.SCHEDULED) == set(S)


@pytest.mark.parametrize("state", sorted(set(S) - FINAL))
def test_every_state_that_is_not_final_reaches_success_and_an_end_of_the_gateways_own(state: UpgradeState) -> None:
    """Whatever a terminal does or does not say, no upgrade is stuck: the gateway alone can always end it."""
    alone = [by for (origin, by), target in TRANSITIONS.items() if origin is state and by not in REPORTS and target in FINAL]

    assert S.SUCCEEDED in reachable(state)
    assert T.FAIL in alone


def test_every_trigger_is_used() -> None:
    assert {by for _, by in TRANSITIONS} == set(T)


@pytest.mark.parametrize("state", sorted(FINAL - ASSUMED))
def test_what_the_terminal_has_proven_or_refused_is_never_left(state: UpgradeState) -> None:
    assert not [by for origin, by in TRANSITIONS if origin is state]


@pytest.mark.parametrize("state", sorted(ASSUMED))
def test_the_gateways_own_guess_is_left_by_a_terminals_proof_and_nothing_else(state: UpgradeState) -> None:
    assert {by for origin, by in TRANSITIONS if origin is state} == PROOFS


def test_success_is_only_what_the_terminal_reports() -> None:
    assert {by for (_, by), target in TRANSITIONS.items() if target is S.SUCCEEDED} == {T.COMMITTED}


def test_rolled_back_is_only_what_the_terminal_reports() -> None:
    assert {by for (_, by), target in TRANSITIONS.items() if target is S.ROLLED_BACK} == {T.ROLLED_BACK}


@pytest.mark.parametrize("trigger", sorted(REPORTS - {T.POSTPONED, T.REFUSED, T.ROLLED_BACK}))
def test_a_report_jumps_forward_over_states_not_seen_and_never_back(trigger: Trigger) -> None:
    moves = rows(states=frozenset(PATH), trigger=trigger)
    target = next(iter(moves.values()))

    assert set(moves.values()) == {target}
    assert set(moves) == set(PATH[: PATH.index(target)])


@pytest.mark.parametrize("trigger", [T.CANCEL, T.EXPIRE, T.REFUSED])
def test_past_staged_there_is_no_way_back_but_through_the_terminal(trigger: Trigger) -> None:
    assert set(rows(trigger=trigger)) == set(REVOCABLE)
    assert not set(REVOCABLE) & {S.INSTALLING, S.VERIFYING, S.SOAKING, S.ROLLING_BACK}


def test_a_version_that_has_booted_is_never_tried_again_from_the_start() -> None:
    assert not set(rows(trigger=T.RETRY)) & {S.SCHEDULED, S.VERIFYING, S.SOAKING, S.ROLLING_BACK, *FINAL}
    assert set(rows(trigger=T.RETRY).values()) == {S.SCHEDULED}


def test_a_roll_back_is_ordered_only_of_a_version_that_has_booted() -> None:
    assert rows(trigger=T.ROLL_BACK) == {S.VERIFYING: S.ROLLING_BACK, S.SOAKING: S.ROLLING_BACK}


def test_waiting_staged_soaking_and_ended_upgrades_take_no_place() -> None:
    assert set(S) - FINAL - {S.SCHEDULED, S.DEFERRED, S.STAGED, S.SOAKING} == ACTIVE


def test_a_row_that_is_missing_names_state_and_trigger() -> None:
    with pytest.raises(StateError, match="no row for start in state soaking") as caught:
        advance(S.SOAKING, T.START)

    assert caught.value.facts == {"state": S.SOAKING, "trigger": T.START}
    assert not allowed(S.SOAKING, T.START)


def test_advance_follows_the_table() -> None:
    assert all(advance(state, trigger) is target for (state, trigger), target in TRANSITIONS.items())


def test_the_picture_in_the_architecture_is_drawn_from_the_table() -> None:
    assert f"```mermaid\n{as_mermaid()}\n```" in ARCHITECTURE.read_text(encoding="utf-8")


def test_the_picture_has_every_row_once() -> None:
    arrows = [line.strip() for line in as_mermaid().splitlines() if ": " in line]
    drawn = [
        (origin, trigger, target)
        for arrow in arrows
        for origin, _, target in [arrow.split(": ")[0].split(" ")]
        for trigger in arrow.split(": ")[1].split(", ")
    ]

    assert sorted(drawn) == sorted((origin.value, by.value, target.value) for (origin, by), target in TRANSITIONS.items())
