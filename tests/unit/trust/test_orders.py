"""Orders: opened only when signed for this terminal, carried out at most once, refused by the first rule that they break."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.errors import TrustError, WireError
from gateway.trust.keys import KeyRing, public_of
from gateway.trust.orders import KNOWN_IDS, OrderGate, open_order, sign_order
from gateway.trust.signed import sign
from gateway.wire.codes import Code, OrderKind
from gateway.wire.messages import Order

PRIVATE = bytes(range(32))
RING = KeyRing([public_of(PRIVATE)])
NOW_MS = 1_000_000


def an_order(
    *, order_id: str = "u1-1", counter: int = 5, shard_epoch: int = 3, not_before_ms: int = 0, not_after_ms: int = 2 * NOW_MS
) -> Order:
    return Order(
        id=order_id,
        counter=counter,
        shard_epoch=shard_epoch,
        terminal="till-1",
        kind=OrderKind.REBOOT,
        args={},
        not_before_ms=not_before_ms,
        not_after_ms=not_after_ms,
    )


def refusal(gate: OrderGate, order: Order, now_ms: int = NOW_MS) -> str:
    before = (gate.counter, gate.shard_epoch, gate.clock_floor_ms, gate.known)
    with pytest.raises(TrustError) as caught:
        gate.admit(order, now_ms)

    assert (gate.counter, gate.shard_epoch, gate.clock_floor_ms, gate.known) == before
    return caught.value.code


def test_an_order_opens_at_its_terminal() -> None:
    assert open_order(sign_order(an_order(), PRIVATE), RING, terminal="till-1") == an_order()


def test_an_order_for_another_terminal_is_refused() -> None:
    with pytest.raises(TrustError) as caught:
        open_order(sign_order(an_order(), PRIVATE), RING, terminal="till-2")

    assert caught.value.code == Code.WRONG_TERMINAL
    assert caught.value.facts["order"] == "u1-1"


def test_a_bad_signature_names_the_order_that_it_claims_to_be() -> None:
    with pytest.raises(TrustError) as caught:
        open_order(sign_order(an_order(), b"\1" * 32), RING, terminal="till-1")

    assert caught.value.code == Code.SIGNATURE_INVALID
    assert caught.value.facts["order"] == "u1-1"


def test_a_bad_signature_over_no_order_names_none() -> None:
    with pytest.raises(TrustError) as caught:
        open_order(sign("order", b"\xc1", b"\1" * 32), RING, terminal="till-1")

    assert caught.value.facts["order"] == ""


def test_a_signed_body_that_is_no_order_is_a_wire_error() -> None:
    with pytest.raises(WireError):
        open_order(sign("order", b"\x80", PRIVATE), RING, terminal="till-1")


def test_an_order_that_a_terminal_would_refuse_for_its_form_is_not_signed() -> None:
    with pytest.raises(WireError) as caught:
        sign_order(dataclasses.replace(an_order(), id="with space"), PRIVATE)

    assert caught.value.code == "field_invalid"


def test_a_new_order_is_let_through_once_and_then_is_a_repeat() -> None:
    gate = OrderGate()

    assert gate.admit(an_order(), NOW_MS) == "new"
    assert gate.admit(an_order(), NOW_MS) == "repeat"
    assert gate.admit(an_order(counter=9, shard_epoch=4), NOW_MS) == "repeat"
    assert (gate.counter, gate.shard_epoch) == (9, 4)


def test_a_repeat_is_answered_even_when_it_is_old_and_late() -> None:
    """The gateway repeats an order because the answer was lost; a refusal now would tell it something false."""
    gate = OrderGate()
    gate.admit(an_order(), NOW_MS)
    gate.admit(an_order(order_id="u1-2", counter=8, shard_epoch=7), NOW_MS)

    assert gate.admit(an_order(counter=1, shard_epoch=0), 9 * NOW_MS) == "repeat"
    assert (gate.counter, gate.shard_epoch) == (8, 7)


@pytest.mark.parametrize("counter", [0, 4, 5])
def test_a_counter_that_does_not_rise_is_refused(counter: int) -> None:
    assert refusal(OrderGate(counter=5), an_order(counter=counter)) == Code.COUNTER_REPLAYED


def test_an_older_shard_epoch_is_refused_and_the_same_one_is_not() -> None:
    assert refusal(OrderGate(shard_epoch=4), an_order(shard_epoch=3)) == Code.SHARD_EPOCH_OLD
    assert OrderGate(shard_epoch=3).admit(an_order(shard_epoch=3), NOW_MS) == "new"


def test_time_is_checked_to_the_millisecond() -> None:
    order = an_order(not_before_ms=NOW_MS, not_after_ms=NOW_MS + 10)

    assert refusal(OrderGate(), order, NOW_MS - 1) == Code.NOT_YET_VALID
    assert refusal(OrderGate(), order, NOW_MS + 11) == Code.ORDER_EXPIRED
    assert OrderGate().admit(order, NOW_MS) == "new"
    assert OrderGate().admit(order, NOW_MS + 10) == "new"


def test_the_first_broken_rule_names_the_refusal() -> None:
    gate = OrderGate(counter=5, shard_epoch=4)
    broken = an_order(counter=5, shard_epoch=3, not_before_ms=2 * NOW_MS, not_after_ms=1)

    assert refusal(gate, broken) == Code.COUNTER_REPLAYED
    assert refusal(gate, dataclasses.replace(broken, counter=6)) == Code.SHARD_EPOCH_OLD
    assert refusal(gate, dataclasses.replace(broken, counter=6, shard_epoch=4)) == Code.NOT_YET_VALID


def test_a_clock_that_falls_back_to_1970_does_not_undo_what_orders_have_proven() -> None:
    gate = OrderGate()
    gate.admit(an_order(not_before_ms=NOW_MS), NOW_MS)

    assert gate.clock_floor_ms == NOW_MS
    assert gate.admit(an_order(order_id="u1-2", counter=6, not_before_ms=NOW_MS), 0) == "new"
    assert refusal(gate, an_order(order_id="u1-3", counter=7, not_after_ms=NOW_MS - 1), 0) == Code.ORDER_EXPIRED


def test_a_repeat_does_not_move_the_clock() -> None:
    """A repeat is not checked for time, so what it says of time is not believed either."""
    gate = OrderGate()
    gate.admit(an_order(), NOW_MS)
    gate.admit(an_order(not_before_ms=50 * NOW_MS), NOW_MS)

    assert gate.clock_floor_ms == 0


def test_the_oldest_of_many_ids_is_forgotten_but_its_counter_is_not() -> None:
    gate = OrderGate()
    for step in range(KNOWN_IDS + 1):
        gate.admit(an_order(order_id=f"u1-{step}", counter=step + 1), NOW_MS)

    assert len(gate.known) == KNOWN_IDS
    assert gate.known[0] == "u1-1"
    assert refusal(gate, an_order(order_id="u1-0", counter=1)) == Code.COUNTER_REPLAYED


def test_a_gate_comes_back_from_the_journal_as_it_was() -> None:
    gate = OrderGate()
    gate.admit(an_order(not_before_ms=7), NOW_MS)
    back = OrderGate(counter=gate.counter, shard_epoch=gate.shard_epoch, clock_floor_ms=gate.clock_floor_ms, known=gate.known)

    assert (back.counter, back.shard_epoch, back.clock_floor_ms) == (5, 3, 7)
    assert back.admit(an_order(), NOW_MS) == "repeat"
