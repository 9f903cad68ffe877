"""The judge of ``scripts/demo``: silent when all ended as demanded, one clear line for every difference."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from gateway.api.campaign_models import CampaignOut, ProgressOut
from gateway.api.shapes import EntryOut
from gateway.api.upgrade_models import UpgradeDetailOut, UpgradeOut
from scripts._demo.demands import MOVING_LEAST
from scripts._demo.evidence import Ending, Kill, Own, OwnReport
from scripts._demo.judge import REPEATED_MAX_BYTES, differences
from scripts._demo.show import verdict

AT = datetime(2026, 1, 1, tzinfo=UTC)
SIZE = 3_000_000
WAY = ("accepted", "ready", "staged", "installing", "booted", "verified", "committed")
STATES = ("preparing", "ready", "staged", "installing", "verifying", "soaking", "succeeded")


def ledger() -> list[EntryOut]:
    entries = [entry(1, "", "scheduled", "created", actor="operator:anna")]
    for number, (what, state) in enumerate(zip(WAY, STATES, strict=True), start=1):
        entries.append(entry(number + 1, entries[-1].to_state, state, what, report=number))
    return entries


def entry(seq: int, old: str, new: str, what: str, *, actor: str = "terminal", report: int = 0) -> EntryOut:
    evidence: dict[str, object] = {"seq": report} if report else {}
    return EntryOut(
        seq=seq,
        at=AT,
        terminal="lk-01",
        campaign="c-1",
        upgrade="c-1-1",
        actor=actor,
        what=what,
        from_state=old,
        to_state=new,
        code="ok",
        evidence=evidence,
    )


def told(**changes: object) -> UpgradeDetailOut:
    fine = UpgradeDetailOut(
        id="c-1-1",
        campaign="c-1",
        terminal="lk-01",
        wave=0,
        state="succeeded",
        state_since_at=AT,
        attempt=1,
        code="ok",
        verified_bytes=SIZE,
        waits="",
        package="p-1",
        package_bytes=SIZE,
        received_bytes=SIZE,
        wasted_bytes=0,
        phases=[],
        estimate=None,
        history=ledger(),
    )
    return fine.model_copy(update=changes)


def own(**changes: object) -> Own:
    fine = Own(
        id="lk-01",
        model="lakala-4g-esign",
        on=True,
        epoch=2,
        power_cuts=0,
        battery_pct=80,
        received_bytes=SIZE,
        useful_bytes=SIZE,
        repeated_bytes=0,
        versions={"app": "2.0.0", "os": "1.0.0"},
        unreceipted=0,
        reports=tuple(OwnReport(upgrade="c-1-1", seq=seq, what=what, code="ok") for seq, what in enumerate(WAY, start=1)),
    )
    return fine.model_copy(update=changes)


def look(state: str = "finished") -> ProgressOut:
    campaign = CampaignOut.model_construct(state=state, reason="2 of 6 canaries failed")
    return ProgressOut.model_construct(campaign=campaign, why="")


def kill(moving_count: int = MOVING_LEAST) -> Kill:
    moving = tuple(UpgradeOut.model_construct(terminal=f"lk-{number:02}") for number in range(moving_count))
    return Kill(at=AT, look=look("running"), moving=moving, own={}, back_after_s=2.0)


def ending(*, by: UpgradeDetailOut | None = None, of: Own | None = None) -> Ending:
    return Ending(look=look(), upgrades={"lk-01": by or told()}, own={"lk-01": of or own()}, kill=kill(), seconds=40.0)


def test_nothing_is_said_when_all_ended_as_demanded() -> None:
    assert differences(ending(), ["lk-01"]) == []


@pytest.mark.parametrize(
    ("by", "of", "line"),
    [
        (told(state="failed", code="link_lost"), own(), "demanded succeeded ok, ended failed link_lost"),
        (told(), own(versions={"app": "1.0.0"}), "demanded version 2.0.0, runs 1.0.0"),
        (told(), own(versions={}, unreceipted=-1), "is booting when all is over"),
        (told(), own(unreceipted=2), "2 of its reports have no receipt"),
        (told(history=ledger()[:-1]), own(), "its ledger ends in soaking, its row says succeeded"),
        (told(history=ledger()[:3] + ledger()[4:]), own(), "its report 3 (staged ok) is not in the ledger"),
        (
            told(history=ledger()[:3] + ledger()[4:]),
            own(),
            "ledger entry 5 goes from staged where the one before ended in ready",
        ),
        (
            told(history=[*ledger(), entry(9, "succeeded", "succeeded", "committed", report=7)]),
            own(),
            "its report 7 stands in the ledger twice",
        ),
        (
            told(),
            own(repeated_bytes=REPEATED_MAX_BYTES + 1),
            f"{REPEATED_MAX_BYTES + 1} bytes of verified segments were sent again",
        ),
        (told(received_bytes=2 * SIZE), own(received_bytes=2 * SIZE), f"{SIZE} bytes came more than once"),
        (told(), own(useful_bytes=SIZE - 1), f"has taken {SIZE - 1} bytes of a package of {SIZE}"),
        (
            told(received_bytes=None),
            own(),
            f"the gateway has None received bytes in its ledger, the terminal counted {SIZE}",
        ),
    ],
)
def test_a_difference_is_said_in_a_line(by: UpgradeDetailOut, of: Own, line: str) -> None:
    assert f"lk-01: {line}" in differences(ending(by=by, of=of), ["lk-01"])


def test_a_difference_makes_the_demo_fail() -> None:
    screen = io.StringIO()
    wrong = differences(ending(of=own(unreceipted=2)), ["lk-01"])

    assert verdict(Console(file=screen, width=100), wrong, 1) == 1
    assert screen.getvalue() == "DIFFERENCE  lk-01: 2 of its reports have no receipt\n"
    assert verdict(Console(file=screen), [], 1) == 0


def test_bytes_lost_with_the_power_may_come_again() -> None:
    cut = own(power_cuts=1, received_bytes=SIZE + 200_000, useful_bytes=SIZE + 200_000)

    assert differences(ending(of=cut), ["lk-01"]) == []


def test_what_has_to_happen_to_a_terminal_has_to_happen() -> None:
    found = Ending(look=look(), upgrades={"lk-cut": told()}, own={"lk-cut": own()}, kill=kill(), seconds=1.0)

    assert differences(found, ["lk-cut"]) == [
        "lk-cut: demanded one power cut in the middle of the transfer, which did not happen"
    ]


def test_missing_and_foreign_terminals_are_named() -> None:
    assert differences(ending(), ["lk-02"]) == [
        "lk-02: the gateway has no upgrade of it",
        "lk-01: is no terminal of the scenario",
    ]
    assert differences(replace(ending(), own={}), ["lk-01"]) == ["lk-01: gave no account of itself"]


def test_campaign_and_kill_are_judged_too() -> None:
    paused = replace(ending(), look=look("paused"), kill=None)

    assert differences(paused, ["lk-01"]) == [
        "campaign: demanded finished, is paused (2 of 6 canaries failed)",
        "gateway: was never killed, because there was no moment with enough transfers under way",
    ]
    assert differences(replace(ending(), kill=kill(1)), ["lk-01"]) == [
        f"gateway: killed with 1 transfers under way, demanded at least {MOVING_LEAST}"
    ]
