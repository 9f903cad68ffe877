"""What is foretold of an upgrade is what then happens to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from gateway.core.events import Acked, End, Tick
from gateway.core.explain import AWAITED, prospect, sent
from gateway.core.snapshot import restore, save
from gateway.core.staging import Staging
from gateway.core.states import FINAL, TRANSITIONS, Trigger, UpgradeState
from gateway.core.upgrade import Upgrade
from gateway.services.explain import WORDS
from gateway.wire.codes import Code, OrderKind, What
from gateway.wire.messages import Ack
from tests.unit.core.build import NOW, PLAN, brought_to, hello, report

INF = float("inf")
OPEN = [state for state in UpgradeState if state not in FINAL]


def standing(state: UpgradeState, *, waits: bool = False) -> Upgrade:
    """An upgrade that has been in ``state`` since ``NOW``, with everything that its deadline may hang on."""
    plan = replace(PLAN, staging=Staging(on_release=True)) if waits else PLAN
    not_before = NOW + 900 if state in {UpgradeState.DEFERRED, UpgradeState.PREPARING} else 0.0
    return Upgrade(
        "u1", "T1", plan, state=state, since=NOW, not_before=not_before, progress_at=NOW + 60, soak_until=NOW + 600, begun=True
    )


def test_every_state_that_waits_says_for_what() -> None:
    assert set(AWAITED) == set(WORDS) == set(OPEN)
    assert {(state, one) for state, awaited in AWAITED.items() for one in awaited} <= set(TRANSITIONS)


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("state", OPEN)
def test_what_is_foretold_happens_then_and_not_before(state: UpgradeState, *, waits: bool, online: bool) -> None:
    upgrade, untouched = standing(state, waits=waits), standing(state, waits=waits)
    ahead = prospect(upgrade, NOW, online=online)

    assert upgrade == untouched
    assert ahead.then is not None
    assert {TRANSITIONS[state, trigger] for trigger in ahead.awaited} == set(ahead.awaited.values())
    if ahead.until > NOW:
        upgrade.tick(ahead.until - 0.001, online=online, jitter=0.5)
        assert upgrade.state is state
    upgrade.tick(ahead.until, online=online, jitter=0.5)
    assert (upgrade.state, upgrade.code) == (ahead.then.state, ahead.then.code)
    assert upgrade.state is not state
    assert (upgrade.attempt, upgrade.withdrawn) == (ahead.then.attempt, ahead.then.is_told)
    if upgrade.state not in FINAL:
        assert upgrade.not_before == ahead.then.not_before


@pytest.mark.parametrize("state", [state for state in UpgradeState if state in FINAL])
def test_what_has_ended_awaits_nothing(state: UpgradeState) -> None:
    ahead = prospect(standing(state), NOW, online=True)

    assert (ahead.awaited, ahead.order, ahead.until, ahead.then) == ({}, None, INF, None)


def test_a_deadline_that_has_passed_is_due_now() -> None:
    ahead = prospect(standing(UpgradeState.OFFERED), NOW + 30 * 3600, online=False)

    assert ahead.until == NOW + 30 * 3600
    assert ahead.then is not None
    assert (ahead.then.state, ahead.then.code) == (UpgradeState.SCHEDULED, Code.LINK_LOST)


#: States whose order is sent as soon as they are entered, or at the end of the soak.
CALLS: Final = (
    UpgradeState.OFFERED,
    UpgradeState.PREPARING,
    UpgradeState.TRANSFERRING,
    UpgradeState.INSTALLING,
    UpgradeState.SOAKING,
    UpgradeState.ROLLING_BACK,
)


@pytest.mark.parametrize("state", CALLS)
def test_the_order_that_is_named_is_the_one_that_goes_out(state: UpgradeState) -> None:
    """At the moment that is named too, so that a soak says when its commit comes."""
    found, _ = brought_to(UpgradeState.SOAKING if state is UpgradeState.ROLLING_BACK else state)
    upgrade = found.upgrade
    assert upgrade is not None
    if state is UpgradeState.ROLLING_BACK:
        found.handle(report(What.HEALTH, 9, Code.HEALTH_REGRESSED), NOW)
    if state is UpgradeState.SOAKING:
        found.handle(hello(2, version="2.0.0"), NOW)
        found.handle(report(What.HEALTH, 9), NOW)
    assert upgrade.state is state
    ahead = prospect(upgrade, NOW, online=True)
    found.handle(Tick(), ahead.order_at)

    last = sent(upgrade)
    assert last is not None
    assert (last.kind, last.order, last.at) == (ahead.order, upgrade.order, ahead.order_at)
    assert last.again_at == found.deadline() > ahead.order_at


def test_states_without_an_order_name_none() -> None:
    for state in set(OPEN) - set(CALLS):
        assert (prospect(standing(state), NOW, online=True).order_at, sent(standing(state))) == (INF, None)


def test_acks_put_off_the_repetition_of_the_order_to_transfer() -> None:
    found, _ = brought_to(UpgradeState.TRANSFERRING)
    upgrade, transfer = found.upgrade, found.transfer
    assert upgrade is not None
    assert transfer is not None
    found.handle(
        Acked(Ack(transfer=transfer.id, epoch=1, seq=1, number=0, cum=128, ranges=(), credit_bytes=1, delay_ms=0, echo_ms=0)),
        NOW + 2,
    )
    last = sent(upgrade)

    assert last is not None
    assert last.again_at == NOW + 2 + 300 == found.deadline()


def test_what_was_sent_last_survives_the_gateway_and_counts_its_repetitions() -> None:
    found, _ = brought_to(UpgradeState.OFFERED)
    upgrade = found.upgrade
    assert upgrade is not None
    found.handle(Tick(), found.deadline())
    row = save(upgrade, 0)
    kept = restore("u1", "T1", PLAN, state=row.state, attempt=1, code=row.code, snapshot=row.snapshot)
    last = sent(kept)

    assert last is not None
    assert (last.kind, last.times, last.at) == (OrderKind.UPGRADE_OFFER, 2, NOW + 5)
    assert last.again_at == NOW + 15 == found.deadline()


def test_an_answered_order_is_not_said_to_be_repeated() -> None:
    found, seq = brought_to(UpgradeState.OFFERED)
    found.handle(report(What.POSTPONED, seq + 1, Code.POSTPONED_BY_MERCHANT, {"until_ms": int((NOW + 7200) * 1000)}), NOW)
    upgrade = found.upgrade
    assert upgrade is not None
    last, ahead = sent(upgrade), prospect(upgrade, NOW, online=True)

    assert last is not None
    assert (last.kind, last.again_at) == (OrderKind.UPGRADE_OFFER, INF)
    assert ahead.awaited == {Trigger.RESUME: UpgradeState.SCHEDULED}
    assert ahead.until == NOW + 7200


def test_what_was_withdrawn_is_told_until_the_terminal_has_heard() -> None:
    found, _ = brought_to(UpgradeState.TRANSFERRING)
    found.handle(End(Code.CANCELLED_BY_OPERATOR, "operator:a"), NOW + 1)
    upgrade = found.upgrade
    assert upgrade is not None
    ahead, last = prospect(upgrade, NOW + 1, online=True), sent(upgrade)

    assert (ahead.order, ahead.order_at, ahead.until) == (OrderKind.UPGRADE_CANCEL, NOW + 1, INF)
    assert last is not None
    assert last.kind == OrderKind.UPGRADE_CANCEL


def test_what_waits_staged_expires_with_its_campaign_unless_it_gets_a_place() -> None:
    upgrade = standing(UpgradeState.STAGED, waits=True)
    ahead = prospect(upgrade, NOW, online=True)

    assert ahead.until == PLAN.ends_at
    assert ahead.then is not None
    assert (ahead.then.state, ahead.then.is_told) == (UpgradeState.EXPIRED, True)
