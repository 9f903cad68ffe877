"""One terminal's core: presence, orders that repeat until answered, reports that are kept once, and who counts as here."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.attendance import OFFLINE_GRACE_S, UNSURE_S, Terms
from gateway.core.effects import (
    Append,
    OpenTransfer,
    SaveTerminal,
    SaveTransfer,
    SaveUpgrade,
    SendReceipt,
    SendWelcome,
)
from gateway.core.events import Acked, End, Heard, Ordered, Start, Tick, Unsure
from gateway.core.snapshot import restore, save
from gateway.core.states import UpgradeState
from gateway.core.terminal import Terminal
from gateway.wire.codes import Code, OrderKind, Phase, ResultStatus, What
from gateway.wire.messages import Ack, OpenUpgrade, Presence, Result
from tests.unit.core.build import FACTS, NOW, PLAN, brought_to, hello, kinds, orders, report, terminal


def _ack(transfer: int, *, epoch: int = 1, seq: int = 1, cum: int = 0) -> Acked:
    return Acked(
        Ack(transfer=transfer, epoch=epoch, seq=seq, number=0, cum=cum, ranges=(), credit_bytes=99_999, delay_ms=0, echo_ms=0)
    )


def test_a_hello_is_answered_and_its_facts_are_kept() -> None:
    """A welcome with the same epoch ends the terminal's repetition."""
    effects = terminal().handle(hello(7, counter=40), NOW)

    assert [effect.online for effect in effects if isinstance(effect, SaveTerminal)] == [True]
    assert [effect.facts for effect in effects if isinstance(effect, SaveTerminal)] == [FACTS]
    assert [effect.welcome.epoch for effect in effects if isinstance(effect, SendWelcome)] == [7]


def test_a_death_counts_after_the_grace_and_only_for_the_newest_epoch() -> None:
    """A will of an older session may arrive after the newer birth."""
    found = terminal()
    found.handle(hello(5), NOW)
    found.handle(Heard(Presence(epoch=4, online=False)), NOW + 1)
    found.handle(Tick(), NOW + 99)
    assert found.online

    found.handle(Heard(Presence(epoch=5, online=False)), NOW + 100)
    assert found.deadline() == NOW + 100 + OFFLINE_GRACE_S
    found.handle(Tick(), NOW + 100 + OFFLINE_GRACE_S)
    assert not found.online


def test_a_reconnect_within_the_grace_is_no_outage() -> None:
    """4G drops connections all day."""
    found = terminal()
    found.handle(hello(5), NOW)
    found.handle(Heard(Presence(epoch=5, online=False)), NOW + 1)
    found.handle(Heard(Presence(epoch=6, online=True)), NOW + 2)
    found.handle(Tick(), NOW + 60)

    assert found.online


def test_a_terminal_that_lost_its_epoch_is_told_the_one_to_exceed() -> None:
    """Else a wiped terminal would stay unheard for ever."""
    found = terminal()
    found.handle(hello(50), NOW)
    effects = found.handle(hello(1), NOW + 1)

    assert [effect.welcome.epoch for effect in effects if isinstance(effect, SendWelcome)] == [50]
    assert found.presence.epoch == 50


def test_an_order_is_repeated_with_the_same_id_and_a_new_counter_until_it_is_answered() -> None:
    """Level, not edge; no counter is used twice."""
    found, _ = brought_to(UpgradeState.SCHEDULED)
    sent = orders(found.handle(Start(), NOW))
    while len(sent) < 4:
        sent += orders(found.handle(Tick(), found.deadline()))

    assert [order.kind for order in sent] == [OrderKind.UPGRADE_OFFER] * 4
    assert len({order.id for order in sent}) == 1
    assert sorted({order.counter for order in sent}) == [order.counter for order in sent]
    assert orders(found.handle(report(What.DECLINED, 1, Code.DECLINED_BY_MERCHANT), NOW + 9)) == []


def test_what_is_due_goes_out_at_once_to_a_new_session() -> None:
    """Whatever was queued for the old one may be gone."""
    found, _ = brought_to(UpgradeState.PREPARING)

    assert kinds(found.handle(hello(2), NOW + 0.5)) == [OrderKind.UPGRADE_PREPARE]


def test_nothing_is_sent_to_an_offline_terminal() -> None:
    """The order waits in the state, not in the broker."""
    found, _ = brought_to(UpgradeState.PREPARING)
    found.handle(Heard(Presence(epoch=1, online=False)), NOW + 1)
    found.handle(Tick(), NOW + 20)

    assert orders(found.handle(Tick(), NOW + 3600)) == []


def test_the_counter_follows_the_terminal_when_it_is_ahead() -> None:
    """After a restore from a backup the terminal has seen higher ones."""
    found = terminal()
    found.handle(hello(1, counter=900), NOW)

    assert [order.counter for order in orders(found.handle(Start(), NOW))] == [901]


def test_a_report_is_stored_before_its_receipt_and_only_once() -> None:
    """Repeats get their receipt again and leave no second entry."""
    found, _ = brought_to(UpgradeState.OFFERED)
    first = found.handle(report(What.ACCEPTED, 1), NOW)
    again = found.handle(report(What.ACCEPTED, 1), NOW + 1)

    assert [effect.what for effect in first if isinstance(effect, Append)] == ["accepted"]
    assert [effect for effect in again if isinstance(effect, Append)] == []
    for effects in (first, again):
        assert [effect.receipt.seqs for effect in effects if isinstance(effect, SendReceipt)] == [(1,)]


def test_a_terminal_that_speaks_while_it_counts_as_offline_is_asked_for_a_hello() -> None:
    """Its birth was lost on the way."""
    found = Terminal("T1", Terms(), upgrade=terminal().upgrade)
    effects = found.handle(report(What.ACCEPTED, 1), NOW)

    assert [effect.welcome.hello for effect in effects if isinstance(effect, SendWelcome)] == [True]


def test_unsure_presence_ends_with_a_hello_or_after_a_minute() -> None:
    """The gateway was away."""
    found = terminal()
    found.handle(hello(), NOW)
    found.handle(Unsure(), NOW + 1)
    found.handle(hello(), NOW + 2)
    found.handle(Tick(), NOW + 1000)
    assert found.online

    found.handle(Unsure(), NOW + 2000)
    found.handle(Tick(), NOW + 2000 + UNSURE_S)
    assert not found.online


def test_the_question_for_a_hello_is_repeated() -> None:
    """The first one may have been lost on its way."""
    found = terminal()
    found.handle(hello(), NOW)
    found.handle(Unsure(), NOW + 1)
    effects = found.handle(Tick(), found.deadline())

    assert [effect.welcome.hello for effect in effects if isinstance(effect, SendWelcome)] == [True]


def test_a_transfer_opens_with_its_order_and_is_named_by_its_counter() -> None:
    """The id stays when the order is repeated."""
    found, _ = brought_to(UpgradeState.PREPARING)
    effects = found.handle(report(What.READY, 2), NOW)
    (order,) = orders(effects)
    (again,) = orders(found.handle(hello(2), NOW + 1))

    assert order.counter == order.args["x"] == again.args["x"]
    assert any(isinstance(effect, OpenTransfer) for effect in effects)
    assert again.counter > order.counter


def test_acks_leave_nothing_to_store_but_progress_now_and_then() -> None:
    """They come by the thousand."""
    found, _ = brought_to(UpgradeState.TRANSFERRING)
    assert found.transfer is not None
    saved = []
    for second in range(20):
        saved += found.handle(_ack(found.transfer.id, seq=second, cum=second), NOW + 100 + second)

    assert [type(effect) for effect in saved] == [SaveUpgrade, SaveTransfer] * 4


def test_an_ended_transfer_leaves_what_it_cost() -> None:
    """With the state that it left to, and no more of it in the upgrade's snapshot."""
    found, _ = brought_to(UpgradeState.TRANSFERRING)
    assert found.transfer is not None
    found.handle(_ack(found.transfer.id, cum=0), NOW + 1)
    piece = found.transfer.next_chunk(NOW + 1)
    assert piece is not None
    found.handle(_ack(found.transfer.id, seq=2, cum=piece.length_bytes // 1024), NOW + 2)
    number = found.transfer.id
    (cost,) = [
        one for one in found.handle(End(Code.CANCELLED_BY_OPERATOR, "operator"), NOW + 3) if isinstance(one, SaveTransfer)
    ]

    assert (cost.transfer, cost.ended, cost.started_us < cost.at_us) == (number, "cancelled", True)
    assert cost.account.useful_bytes == cost.account.sent_bytes == piece.length_bytes
    assert found.upgrade is not None
    assert found.upgrade.meter is None


def test_a_restart_goes_on_with_the_account() -> None:
    """What the first life of the gateway sent still counts."""
    found, _ = brought_to(UpgradeState.TRANSFERRING)
    assert found.transfer is not None
    assert found.upgrade is not None
    found.handle(_ack(found.transfer.id, cum=0), NOW + 1)
    while found.transfer.next_chunk(NOW + 2) is not None:
        pass
    sent = found.transfer.meter.sent_bytes
    (row, _) = found.handle(_ack(found.transfer.id, seq=2, cum=4), NOW + 10)
    assert isinstance(row, SaveUpgrade)
    again = Terminal("T1", Terms())
    again.presence.epoch, again.presence.online, again.out.counter = 1, True, found.out.counter
    again.upgrade = restore(row.upgrade, "T1", PLAN, state=row.state, attempt=row.attempt, code=row.code, snapshot=row.snapshot)
    again.handle(Unsure(), NOW + 12)
    assert again.transfer is not None
    assert (again.transfer.id, again.transfer.meter.sent_bytes) == (found.transfer.id, sent)


def test_a_restarted_gateway_resumes_from_the_first_ack() -> None:
    """What the terminal holds is not sent again."""
    found, _ = brought_to(UpgradeState.TRANSFERRING)
    assert found.upgrade is not None
    row = save(found.upgrade, 0)
    again = Terminal("T1", Terms())
    again.presence.epoch, again.presence.online = 1, True
    again.out.counter = found.out.counter
    again.upgrade = restore(row.upgrade, "T1", PLAN, state=row.state, attempt=row.attempt, code=row.code, snapshot=row.snapshot)
    again.handle(Unsure(), NOW + 5)
    assert again.transfer is not None
    again.handle(_ack(again.transfer.id, cum=128), NOW + 6)
    piece = again.transfer.next_chunk(NOW + 6)

    assert piece is not None
    assert piece.block == 128


def test_an_ended_upgrade_that_the_terminal_still_holds_is_cancelled_there() -> None:
    """Also when it ended while the terminal was away."""
    found, _ = brought_to(UpgradeState.TRANSFERRING)
    sent = kinds(found.handle(End(Code.CANCELLED_BY_OPERATOR, "operator"), NOW + 1))
    assert sent == [OrderKind.UPGRADE_CANCEL]

    found.handle(report(What.CANCELLED, 9, Code.CANCELLED_BY_OPERATOR), NOW + 2)
    assert kinds(found.handle(Tick(), NOW + 500)) == []
    held = OpenUpgrade(id="u1", phase=Phase.STAGED, transfer=0, have=((0, 3),), seq=9)
    assert kinds(found.handle(hello(2, upgrade=held), NOW + 600)) == [OrderKind.UPGRADE_CANCEL]


def test_a_terminal_that_does_not_know_the_upgrade_begins_again() -> None:
    """Its journal was lost; that costs no attempt."""
    found, _ = brought_to(UpgradeState.TRANSFERRING)
    assert found.upgrade is not None
    order = f"u1-{found.upgrade.step}"
    found.handle(Heard(Result(order=order, status=ResultStatus.REFUSED, code=Code.UPGRADE_UNKNOWN)), NOW + 1)

    assert (found.upgrade.state, found.upgrade.attempt) == (UpgradeState.SCHEDULED, 1)
    assert found.transfer is None


def test_a_terminal_that_was_reset_is_heard_from_report_1_on() -> None:
    """Its journal is gone, and with it the numbers that it has used: they are no repetitions."""
    found, seq = brought_to(UpgradeState.TRANSFERRING)
    assert found.upgrade is not None
    found.handle(report(What.FAILED, seq + 1, Code.STORAGE_FULL), NOW + 1)
    effects = found.handle(hello(2), NOW + 2)
    lost = [effect for effect in effects if isinstance(effect, Append)]

    assert [(entry.what, entry.evidence) for entry in lost] == [("journal_lost", {"last_seq": seq + 1})]
    assert [entry.what for entry in found.handle(hello(2), NOW + 3) if isinstance(entry, Append)] == ["ready_again"]
    found.handle(Start(), NOW + 9_999)
    found.handle(report(What.ACCEPTED, 1), NOW + 10_000)
    moved = found.handle(report(What.READY, 2), NOW + 10_001)
    assert [entry.to_state for entry in moved if isinstance(entry, Append)] == ["ready", "transferring"]
    assert found.upgrade.verified_bytes == 0


def test_a_terminal_that_refuses_as_unknown_is_heard_from_report_1_on() -> None:
    """It forgot the upgrade in the middle of it."""
    found, _ = brought_to(UpgradeState.TRANSFERRING)
    assert found.upgrade is not None
    refusal = Result(order=found.upgrade.order, status=ResultStatus.REFUSED, code=Code.UPGRADE_UNKNOWN)
    found.handle(Heard(refusal), NOW + 1)
    found.handle(Start(), NOW + 9_999)
    found.handle(report(What.ACCEPTED, 1), NOW + 10_000)

    assert found.upgrade.state is UpgradeState.PREPARING


def test_a_hello_that_shows_the_upgrade_keeps_its_numbers() -> None:
    """Only an empty journal has forgotten them: a repetition is still one."""
    found, seq = brought_to(UpgradeState.TRANSFERRING)
    assert found.upgrade is not None
    found.handle(report(What.FAILED, seq + 1, Code.STORAGE_FULL), NOW + 1)
    held = OpenUpgrade(id="u1", phase=Phase.READY, transfer=0, have=(), seq=seq + 1)
    found.handle(hello(2, upgrade=held), NOW + 2)
    found.handle(Start(), NOW + 9_999)
    found.handle(report(What.ACCEPTED, 1), NOW + 10_000)

    assert found.upgrade.state is UpgradeState.OFFERED


def test_fresh_facts_keep_a_terminal_that_is_not_ready_from_being_bothered() -> None:
    """The reason is in the ledger and the upgrade waits."""
    found = terminal()
    found.handle(hello(facts=replace(FACTS, battery_pct=5)), NOW)
    effects = found.handle(Start(), NOW + 1)

    assert orders(effects) == []
    assert [effect.code for effect in effects if isinstance(effect, Append)] == [Code.BATTERY_LOW]
    assert found.upgrade is not None
    assert UpgradeState.SCHEDULED is found.upgrade.state
    assert NOW + 1 + PLAN.recheck_s == found.upgrade.not_before


def test_only_what_the_terminal_says_shows_that_it_was_seen() -> None:
    """A question after an outage, an order or a start says nothing of a terminal that has been away for days."""
    found = terminal()
    found.handle(hello(), NOW)
    for event in (Unsure(), Start(), Ordered("o1", OrderKind.REBOOT, NOW + 9_000), End(Code.CAMPAIGN_ENDED, "test"), Tick()):
        found.handle(event, NOW + 100)

    assert found.seen == NOW
