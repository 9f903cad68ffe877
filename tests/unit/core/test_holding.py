"""A day's budget is used up: what the upgrade does, what its terminal is told, and how it goes on."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.budgets import Scope, Spent
from gateway.core.effects import Append, CloseTransfer, SaveUpgrade
from gateway.core.events import BudgetEased, BudgetSpent, Heard, Start, Tick
from gateway.core.holding import SPREAD_S
from gateway.core.snapshot import restore
from gateway.core.states import UpgradeState
from gateway.core.terminal import Terminal
from gateway.wire.codes import Code, OrderKind, Phase, ResultStatus, What
from gateway.wire.messages import OpenUpgrade, Presence, Result
from tests.unit.core.build import NOW, PLAN, brought_to, hello, kinds, orders, report

MIDNIGHT = NOW + 7200
SPENT = Spent(scope=Scope.SITE, name="s1", used_bytes=900, limit_bytes=1000, until=MIDNIGHT)


def _held(jitter: float = 0.5) -> tuple[Terminal, int, list[object]]:
    session, seq = brought_to(UpgradeState.TRANSFERRING)
    return session, seq, list(session.handle(BudgetSpent(SPENT), NOW + 10, jitter))


def test_a_transfer_waits_for_the_next_day_and_says_why() -> None:
    session, _, effects = _held(jitter=1.0)
    [entry] = [one for one in effects if isinstance(one, Append)]
    [row] = [one for one in effects if isinstance(one, SaveUpgrade)]

    assert (entry.from_state, entry.to_state, entry.code) == ("transferring", "deferred", "site_budget_spent")
    assert entry.evidence == {
        "scope": "site",
        "name": "s1",
        "used_bytes": 900,
        "limit_bytes": 1000,
        "until_ms": int((MIDNIGHT + SPREAD_S) * 1000),
    }
    assert row.due_us == int((MIDNIGHT + SPREAD_S) * 1e6)
    assert CloseTransfer(terminal="T1") in effects
    assert session.transfer is None
    assert session.upgrade is not None
    assert session.upgrade.attempt == 1


def test_it_never_waits_beyond_its_campaign() -> None:
    session, _ = brought_to(UpgradeState.TRANSFERRING, replace(PLAN, ends_at=NOW + 100))
    session.handle(BudgetSpent(SPENT), NOW + 10)
    session.handle(Tick(), NOW + 100)

    assert session.upgrade is not None
    assert session.upgrade.state is UpgradeState.EXPIRED


def test_the_terminal_is_told_until_it_has_reported_so() -> None:
    session, seq, effects = _held()
    [order] = orders(effects)  # type: ignore[arg-type]
    assert order.kind is OrderKind.UPGRADE_HOLD
    assert order.args == {"u": "u1", "until_ms": int((MIDNIGHT + SPREAD_S / 2) * 1000), "code": "site_budget_spent"}
    [again] = orders(session.handle(Tick(), session.deadline()))
    assert (again.id, again.kind) == (order.id, order.kind)

    session.handle(report(What.HELD, seq + 1, Code.SITE_BUDGET_SPENT), NOW + 60)
    assert kinds(session.handle(Tick(), NOW + 3600)) == []
    assert session.deadline() == MIDNIGHT + SPREAD_S / 2


def test_it_survives_a_restart_with_what_is_still_to_be_told() -> None:
    session, _, effects = _held()
    [row] = [one for one in effects if isinstance(one, SaveUpgrade)]
    back = Terminal("T1", session.terms)
    back.upgrade = restore("u1", "T1", PLAN, state=row.state, attempt=row.attempt, code=row.code, snapshot=row.snapshot)

    assert kinds(back.handle(Heard(Presence(epoch=9, online=True)), NOW + 20)) == [OrderKind.UPGRADE_HOLD]
    assert back.deadline() <= MIDNIGHT + SPREAD_S / 2


def test_a_terminal_that_does_not_know_the_order_is_left_alone() -> None:
    session, _, effects = _held()
    [order] = orders(effects)  # type: ignore[arg-type]
    session.handle(Heard(Result(order=order.id, status=ResultStatus.REFUSED, code=Code.KIND_UNSUPPORTED)), NOW + 20)

    assert session.upgrade is not None
    assert session.upgrade.state is UpgradeState.DEFERRED
    assert kinds(session.handle(Tick(), NOW + 3600)) == []


def test_a_terminal_that_still_wants_chunks_is_told_again() -> None:
    """It was restored from a backup, or another gateway's store was."""
    session, seq, _ = _held()
    session.handle(report(What.HELD, seq + 1), NOW + 60)
    wants = OpenUpgrade(id="u1", phase=Phase.TRANSFERRING, transfer=1, have=((0, 1),), seq=seq + 1)
    assert kinds(session.handle(hello(2, upgrade=wants), NOW + 70)) == [OrderKind.UPGRADE_HOLD]
    rests = replace(wants, phase=Phase.READY)
    session.handle(report(What.HELD, seq + 2), NOW + 80)
    assert kinds(session.handle(hello(3, upgrade=rests), NOW + 90)) == []


def test_the_next_day_it_is_offered_again_without_asking_the_merchant() -> None:
    session, seq, _ = _held()
    session.handle(report(What.HELD, seq + 1), NOW + 60)
    [entry] = [one for one in session.handle(Tick(), MIDNIGHT + SPREAD_S) if isinstance(one, Append)]
    [offer] = orders(session.handle(Start(), MIDNIGHT + SPREAD_S))

    assert (entry.what, entry.to_state) == ("budget_renewed", "scheduled")
    assert offer.kind is OrderKind.UPGRADE_OFFER
    assert offer.args["ask"] is False


def test_a_late_report_of_a_staged_terminal_counts_and_takes_the_order_back() -> None:
    session, seq, _ = _held()
    assert kinds(session.handle(report(What.STAGED, seq + 1), NOW + 30)) == [OrderKind.UPGRADE_INSTALL]


def test_an_upgrade_that_was_to_start_waits_too_and_nobody_is_disturbed() -> None:
    session, _ = brought_to(UpgradeState.SCHEDULED)
    effects = session.handle(BudgetSpent(SPENT), NOW, 0.0)

    assert orders(effects) == []
    assert session.upgrade is not None
    assert (session.upgrade.state, session.upgrade.code) == (UpgradeState.SCHEDULED, Code.SITE_BUDGET_SPENT)
    assert session.upgrade.not_before == MIDNIGHT
    assert session.handle(BudgetSpent(SPENT), NOW + 1, 0.0) == []  # it waits already
    assert kinds(session.handle(Start(), MIDNIGHT)) == [OrderKind.UPGRADE_OFFER]


def test_what_does_not_transfer_is_not_held() -> None:
    for state in (UpgradeState.PREPARING, UpgradeState.INSTALLING, UpgradeState.SOAKING):
        session, _ = brought_to(state)
        effects = session.handle(BudgetSpent(SPENT), NOW + 10)
        assert [one for one in effects if isinstance(one, Append)] == []
        assert session.upgrade is not None
        assert session.upgrade.state is state


def test_a_raised_budget_lets_it_go_on_at_once() -> None:
    session, _, _ = _held()
    [entry] = [one for one in session.handle(BudgetEased(), NOW + 60) if isinstance(one, Append)]
    assert (entry.what, entry.from_state, entry.to_state) == ("budget_eased", "deferred", "scheduled")
    assert session.handle(BudgetEased(), NOW + 61) == []
    assert kinds(session.handle(Start(), NOW + 62)) == [OrderKind.UPGRADE_OFFER]


def test_a_raised_budget_lets_a_scheduled_one_start_and_moves_nothing_else() -> None:
    session, _ = brought_to(UpgradeState.SCHEDULED)
    session.handle(BudgetSpent(SPENT), NOW, 0.0)
    session.handle(BudgetEased(), NOW + 60)
    assert kinds(session.handle(Start(), NOW + 61)) == [OrderKind.UPGRADE_OFFER]

    postponed, seq = brought_to(UpgradeState.PREPARING)
    until_ms = int((NOW + 5000) * 1000)
    postponed.handle(report(What.POSTPONED, seq + 1, Code.POSTPONED_BY_MERCHANT, {"until_ms": until_ms}), NOW)
    assert postponed.handle(BudgetEased(), NOW + 60) == []
    [over] = [one for one in postponed.handle(Tick(), NOW + 5000) if isinstance(one, Append)]
    assert over.what == "postponement_over"
