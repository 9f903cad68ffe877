"""A terminal is ahead of the restored store: what it shows is asked for, believed once proven, and nothing is done twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from gateway.core.attendance import Terms
from gateway.core.budgets import Scope, Spent
from gateway.core.effects import Append, SaveTerminal, SendWelcome
from gateway.core.events import BudgetSpent, End, Event, Heard, Refuse, Start, Tick
from gateway.core.explain import prospect
from gateway.core.snapshot import restore, save
from gateway.core.states import UpgradeState
from gateway.core.terminal import Terminal
from gateway.wire.codes import Code, OrderKind, Phase, ResultStatus, What
from gateway.wire.messages import OpenUpgrade, Presence, Result
from tests.unit.core.build import NOW, PLAN, brought_to, hello, kinds, orders, report

LEAST: Final = 1_790_000_000
LATER: Final = NOW + 3600


def restored(state: UpgradeState) -> Terminal:
    """As the restored gateway loads it from a backup in which the upgrade was in ``state``."""
    was, _ = brought_to(state)
    assert was.upgrade is not None
    row = save(was.upgrade, 0)
    found = Terminal("T1", Terms(shard_epoch=9, least_step=LEAST, restored_at=LATER), facts=was.facts, awaits_hello=True)
    found.presence.epoch, found.presence.online = 1, True
    found.out.counter = was.out.counter
    found.upgrade = restore(
        "u1", "T1", PLAN, state=row.state, attempt=row.attempt, code=row.code, snapshot=row.snapshot, least_step=LEAST
    )
    return found


def shows(phase: Phase, seq: int, *, transfer: int = 0, version: str = "1.0.0", upgrade: str = "u1") -> Heard:
    """Its first hello since: three sessions and many orders later than the backup."""
    held = OpenUpgrade(id=upgrade, phase=phase, transfer=transfer, have=(), seq=seq)
    return hello(4, counter=500, version=version, upgrade=held)


WAITING: Final = [
    UpgradeState.OFFERED,
    UpgradeState.PREPARING,
    UpgradeState.TRANSFERRING,
    UpgradeState.INSTALLING,
    UpgradeState.VERIFYING,
    UpgradeState.SOAKING,
]


@pytest.mark.parametrize("event", [Tick(), Heard(Presence(epoch=3, online=True))])
@pytest.mark.parametrize("state", WAITING)
def test_no_order_goes_out_before_the_terminal_has_shown_how_far_it_is(state: UpgradeState, event: Event) -> None:
    found = restored(state)
    first = found.handle(event, LATER)
    again = found.handle(Tick(), LATER + 30)

    assert kinds([*first, *again]) == []
    assert found.deadline() > LATER + 30


def test_who_speaks_without_a_hello_is_asked_for_one_now_and_then() -> None:
    """The question of the start may have been lost."""
    found = restored(UpgradeState.SOAKING)
    asked = [
        [one.welcome.hello for one in found.handle(report(What.HEALTH, 90 + at), LATER + at) if isinstance(one, SendWelcome)]
        for at in (0, 1, 20)
    ]
    found.handle(shows(Phase.SOAKING, 200, version="2.0.0"), LATER + 21)
    later = found.handle(report(What.HEALTH, 201), LATER + 60)

    assert asked == [[True], [], [True]]
    assert not any(isinstance(one, SendWelcome) for one in later)


@pytest.mark.parametrize("message", [Presence(epoch=3, online=True), Presence(epoch=1, online=False)])
def test_the_question_for_a_hello_outlives_the_gateway_until_it_is_answered(message: Presence) -> None:
    """What the store says of when it was heard is how the next start knows."""
    found = restored(UpgradeState.TRANSFERRING)
    saved = [*found.handle(Heard(message), LATER + 1), *found.handle(Tick(), LATER + 60)]
    before = [one.seen_us for one in saved if isinstance(one, SaveTerminal)]
    [after] = [one for one in found.handle(shows(Phase.DONE, 9), LATER + 61) if isinstance(one, SaveTerminal)]

    assert before
    assert max(before) < LATER * 1e6 < after.seen_us


@pytest.mark.parametrize("state", [UpgradeState.SCHEDULED, *WAITING])
@pytest.mark.parametrize(
    ("said", "ends"),
    [
        (What.COMMITTED, UpgradeState.SUCCEEDED),
        (What.ROLLED_BACK, UpgradeState.ROLLED_BACK),
    ],
)
def test_an_upgrade_that_has_ended_meanwhile_ends_here_by_its_newest_report(
    state: UpgradeState, said: What, ends: UpgradeState
) -> None:
    """Whatever the backup held. The report was receipted by the lost gateway, so it is asked for; a hello is no proof."""
    found = restored(state)
    upgrade = found.upgrade
    assert upgrade is not None
    version = "2.0.0" if said is What.COMMITTED else "1.0.0"
    asked = found.handle(shows(Phase.DONE, 9, version=version), LATER)
    assert upgrade.state not in {UpgradeState.SUCCEEDED, UpgradeState.ROLLED_BACK}
    if said is What.COMMITTED or state is not UpgradeState.SOAKING:
        [order] = orders(asked)
        assert order.kind is OrderKind.UPGRADE_OFFER
        assert order.args["ask"] is False
        assert prospect(upgrade, LATER, online=True).order is OrderKind.UPGRADE_OFFER
    else:  # a hello that shows the old version in the soak asks by itself
        [order] = orders(asked)
        assert order.kind is OrderKind.UPGRADE_ROLLBACK
    assert order.counter == 501
    assert order.shard_epoch == 9
    assert int(order.id.rsplit("-", 1)[1]) >= LEAST
    after = found.handle(report(said, 10, detail={"version": version}), LATER + 1)

    assert upgrade.state is ends
    assert OrderKind.UPGRADE_INSTALL not in kinds([*asked, *after])


@pytest.mark.parametrize("phase", [Phase.INSTALLING, Phase.SOAKING, Phase.DONE])
def test_who_is_past_being_cancelled_is_asked_although_the_campaign_has_ended_meanwhile(phase: Phase) -> None:
    """Ended by the restored gateway at its start: the cancel would be refused, and nothing asked for the lost report."""
    found = restored(UpgradeState.TRANSFERRING)
    upgrade = found.upgrade
    assert upgrade is not None
    ended = found.handle(Tick(), PLAN.ends_at)
    asked = found.handle(shows(phase, 9, version="2.0.0"), PLAN.ends_at + 1)
    found.handle(report(What.COMMITTED, 10), PLAN.ends_at + 2)

    assert [one.to_state for one in ended if isinstance(one, Append)] == ["expired"]
    assert kinds(asked) == [OrderKind.UPGRADE_OFFER]
    assert upgrade.state is UpgradeState.SUCCEEDED
    assert not upgrade.withdrawn


@pytest.mark.parametrize(
    ("event", "at", "ends"),
    [
        (Tick(), PLAN.ends_at, "expired"),
        (End(Code.CANCELLED_BY_OPERATOR, "operator"), LATER + 1, "cancelled"),
        (Tick(), LATER + 200_000, "scheduled"),
    ],
)
def test_what_is_guessed_of_a_terminal_before_it_has_answered_does_not_end_the_question(
    event: Event, at: float, ends: str
) -> None:
    """It says hello, and is away before the offer that asks for its newest report comes."""
    found = restored(UpgradeState.TRANSFERRING)
    upgrade = found.upgrade
    assert upgrade is not None
    asked = found.handle(shows(Phase.DONE, 9, version="2.0.0"), LATER)
    moved = [one.to_state for one in found.handle(event, at) if isinstance(one, Append)]
    again = found.handle(Heard(Presence(epoch=5, online=True)), at + 1)
    found.handle(report(What.COMMITTED, 10), at + 2)

    assert moved == [ends]
    assert [(one.kind, one.id) for one in orders(again)] == [(one.kind, one.id) for one in orders(asked)]
    assert kinds(again) == [OrderKind.UPGRADE_OFFER]
    assert upgrade.state is UpgradeState.SUCCEEDED
    assert not upgrade.withdrawn


def test_who_is_past_waiting_for_a_budget_is_asked_although_it_was_to_be_told_of_one() -> None:
    found = restored(UpgradeState.TRANSFERRING)
    upgrade = found.upgrade
    assert upgrade is not None
    found.handle(BudgetSpent(Spent(scope=Scope.TERMINAL, name="T1", used_bytes=1, limit_bytes=1, until=LATER + 9000)), LATER)
    assert upgrade.holding

    assert kinds(found.handle(shows(Phase.DONE, 9, version="2.0.0"), LATER)) == [OrderKind.UPGRADE_OFFER]


def test_what_soaks_there_goes_on_soaking_here() -> None:
    found = restored(UpgradeState.TRANSFERRING)
    upgrade = found.upgrade
    assert upgrade is not None
    found.handle(shows(Phase.SOAKING, 9, version="2.0.0"), LATER)
    after = found.handle(report(What.VERIFIED, 10, detail={"version": "2.0.0"}), LATER + 1)

    assert (upgrade.state, upgrade.soak_until) == (UpgradeState.SOAKING, LATER + 1 + PLAN.soak_s)
    assert kinds(after) == []
    assert found.transfer is None


@pytest.mark.parametrize("event", [Start(), Refuse(Code.ALREADY_INSTALLED)])
def test_the_campaign_leaves_alone_who_is_ahead(event: Event) -> None:
    """To it, the terminal looks like one that runs the new version already, or that may begin."""
    found = restored(UpgradeState.SCHEDULED)
    found.handle(shows(Phase.SOAKING, 9, version="2.0.0"), LATER)
    stays = kinds(found.handle(event, LATER + 1))
    found.handle(report(What.HEALTH, 10), LATER + 2)

    assert stays == []
    assert found.upgrade is not None
    assert found.upgrade.state is UpgradeState.SOAKING


def test_a_report_that_no_order_asked_for_does_not_end_the_question() -> None:
    found = restored(UpgradeState.VERIFYING)
    found.handle(shows(Phase.DONE, 9, version="2.0.0"), LATER)
    found.handle(report(What.SELFTEST, 8), LATER + 1)
    assert found.upgrade is not None
    assert found.upgrade.due_order(LATER + 1) is OrderKind.UPGRADE_OFFER


def test_another_transfer_since_is_ordered_anew_and_verified_segments_stay() -> None:
    found = restored(UpgradeState.TRANSFERRING)
    upgrade = found.upgrade
    assert upgrade is not None
    before = upgrade.transfer
    held = OpenUpgrade(id="u1", phase=Phase.TRANSFERRING, transfer=480, have=((0, 2),), seq=9)
    [order] = orders(found.handle(hello(4, counter=500, upgrade=held), LATER))

    assert (order.kind, order.args["x"], order.counter) == (OrderKind.UPGRADE_TRANSFER, 501, 501)
    assert order.id == f"u1-{LEAST}"
    assert before < 480 < upgrade.transfer
    assert found.transfer is not None
    assert found.transfer.held_segments.count == 2


@pytest.mark.parametrize("phase", [Phase.TRANSFERRING, Phase.STAGED])
def test_the_same_transfer_goes_on_under_the_order_that_opened_it(phase: Phase) -> None:
    found = restored(UpgradeState.TRANSFERRING)
    assert found.upgrade is not None
    [order] = orders(found.handle(shows(phase, 2, transfer=found.upgrade.transfer), LATER))

    assert order.id == "u1-3"


def test_steps_after_a_restore_are_none_that_the_lost_gateway_can_have_used() -> None:
    found = restored(UpgradeState.PREPARING)
    assert found.upgrade is not None
    first = orders(found.handle(shows(Phase.READY, 2), LATER))
    second = orders(found.handle(report(What.READY, 2), LATER + 1))
    found.handle(report(What.STAGED, 3), LATER + 2)

    assert [order.id for order in (*first, *second)] == ["u1-2", f"u1-{LEAST}"]
    assert found.upgrade.order == f"u1-{LEAST + 1}"


def test_a_store_that_was_never_restored_asks_nothing_of_the_kind() -> None:
    found, _ = brought_to(UpgradeState.VERIFYING)
    assert found.upgrade is not None
    found.handle(shows(Phase.DONE, 9, version="2.0.0"), LATER)

    assert not found.upgrade.overtaken


def test_the_terminals_word_that_it_has_dropped_an_upgrade_ends_it() -> None:
    """The lost gateway had cancelled it; a restored one would offer it for ever."""
    found = restored(UpgradeState.PREPARING)
    assert found.upgrade is not None
    found.handle(shows(Phase.DONE, 9), LATER)
    found.handle(report(What.CANCELLED, 10, Code.CANCELLED_BY_OPERATOR), LATER + 1)

    assert (found.upgrade.state, found.upgrade.code) == (UpgradeState.CANCELLED, Code.CANCELLED_BY_OPERATOR)
    assert found.idle


@pytest.mark.parametrize("state", [UpgradeState.PREPARING, UpgradeState.TRANSFERRING, UpgradeState.INSTALLING])
def test_a_terminal_that_stands_before_a_step_is_offered_again_at_no_cost(state: UpgradeState) -> None:
    found = restored(state)
    upgrade = found.upgrade
    assert upgrade is not None
    found.handle(shows(Phase.ACCEPTED, 9, transfer=upgrade.transfer), LATER)
    busy = Result(order=upgrade.order, status=ResultStatus.REFUSED, code=Code.BUSY)
    found.handle(Heard(busy), LATER + 1)

    assert (upgrade.state, upgrade.attempt, upgrade.code) == (UpgradeState.SCHEDULED, 1, Code.BUSY)


def test_what_installs_is_not_offered_again_because_an_order_came_twice() -> None:
    found, seq = brought_to(UpgradeState.INSTALLING)
    upgrade = found.upgrade
    assert upgrade is not None
    found.handle(report(What.INSTALLING, seq + 1), NOW)
    found.handle(Heard(Result(order=upgrade.order, status=ResultStatus.REFUSED, code=Code.BUSY)), NOW)

    assert upgrade.state is UpgradeState.INSTALLING


def test_the_question_survives_another_restart() -> None:
    found = restored(UpgradeState.VERIFYING)
    found.handle(shows(Phase.DONE, 9, version="2.0.0"), LATER)
    assert found.upgrade is not None
    row = save(found.upgrade, 0)
    again = restore("u1", "T1", PLAN, state=row.state, attempt=1, code="ok", snapshot=row.snapshot, least_step=LEAST)

    assert replace(again, sent=None) == replace(found.upgrade, sent=None)
    assert again.due_order(LATER) is OrderKind.UPGRADE_OFFER
