"""Orders at the terminal's door: each refusal with its code, each id once, whatever power does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device_sim.faults import Faults
from gateway.trust.keys import new_private_key
from gateway.trust.orders import sign_order
from gateway.wire.codes import Code, OrderKind, ResultStatus, What
from gateway.wire.messages import Order, Plain, Signed
from tests.unit.device_sim.build import DAY_MS, ORDER_KEY
from tests.unit.device_sim.play import Play


@pytest.fixture
def play() -> Play:
    """A terminal that is online, and a gateway that sends only what the test sends."""
    found = Play()
    found.auto = False
    found.boot()
    found.run(seconds=5.0)
    return found


def answer(play: Play) -> tuple[ResultStatus, Code]:
    """The one result that came for what was just sent."""
    before = len(play.results)
    play.run(seconds=1.0)
    [result] = play.results[before:]
    return result.status, result.code


def base_order(play: Play, **changes: int | str) -> Order:
    play.counter += 1
    now_ms = play.options.unix_base_ms + int(play.now * 1000)
    order = Order(
        id=f"o-{play.counter}",
        counter=play.counter,
        shard_epoch=3,
        terminal="t1",
        kind=OrderKind.INSPECT,
        args={},
        not_before_ms=now_ms - 1000,
        not_after_ms=now_ms + DAY_MS,
    )
    return replace(order, **changes)  # type: ignore[arg-type]  # the caller gives the right types


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"terminal": "t2"}, Code.WRONG_TERMINAL),
        ({"counter": 1}, Code.COUNTER_REPLAYED),
        ({"shard_epoch": 2}, Code.SHARD_EPOCH_OLD),
        ({"not_before_ms": 2**50, "not_after_ms": 2**51}, Code.NOT_YET_VALID),
        ({"not_before_ms": 0, "not_after_ms": 1}, Code.ORDER_EXPIRED),
    ],
)
def test_order_that_must_not_be_followed_is_refused_with_its_code(
    play: Play, changes: dict[str, int | str], code: Code
) -> None:
    play.down(sign_order(base_order(play), ORDER_KEY))
    assert answer(play) == (ResultStatus.DONE, Code.OK)

    play.down(sign_order(base_order(play, **changes), ORDER_KEY))
    assert answer(play) == (ResultStatus.REFUSED, code)

    play.down(sign_order(base_order(play), ORDER_KEY))
    assert answer(play) == (ResultStatus.DONE, Code.OK), "what was refused has used nothing up"


def test_forged_order_is_refused(play: Play) -> None:
    play.down(sign_order(base_order(play), new_private_key()))
    assert answer(play) == (ResultStatus.REFUSED, Code.SIGNATURE_INVALID)

    good = sign_order(base_order(play), ORDER_KEY)
    play.down(Signed(body=good.body, signature=bytes(64), key=good.key))
    assert answer(play) == (ResultStatus.REFUSED, Code.SIGNATURE_INVALID)


def test_garbage_is_counted_and_answered_by_nothing(play: Play) -> None:
    for kind, payload in (
        ("order", b""),
        ("order", b"\xff" * 500),
        ("welcome", b"\x80"),
        ("nonsense", b""),
        ("chunk", b"\xc1"),
    ):
        play.terminal.on_message(kind, payload, False, play.now)
    play.terminal.on_message("welcome", b"\x80", True, play.now)
    play.down(Signed(body=b"no order", signature=bytes(64), key="0" * 16))
    play.run(seconds=1.0)

    assert play.results == []
    assert play.terminal.board.tally.events["not_msgpack"] >= 2
    assert play.terminal.board.tally.events["kind_unknown"] == 1


def test_repeated_order_is_answered_as_before_and_not_carried_out_again(play: Play) -> None:
    first = play.order(OrderKind.REBOOT, {}, order_id="r1")
    play.run(lambda: bool(play.results), seconds=60)
    boots = play.terminal.board.tally.boots
    play.down(sign_order(replace(first, counter=first.counter + 7), ORDER_KEY))
    play.run(lambda: len(play.results) > 1, seconds=60)

    assert play.results[0] == play.results[1]
    assert (boots, play.terminal.board.tally.boots) == (2, 2)
    assert play.hellos[-1].counter == first.counter
    play.terminal.power_cut(play.now)
    play.run(lambda: play.hellos[-1].counter > first.counter, seconds=60)
    assert play.hellos[-1].counter == first.counter + 7, "the raised counter is durable"


@pytest.mark.parametrize("after", [1, 20, 60, 150, 400])
def test_reboot_happens_once_even_when_power_fails_while_it_is_journalled(play: Play, after: int) -> None:
    """The gateway repeats the order until it is answered; it is carried out exactly once."""
    play.terminal.board.flash.fuse = after
    boots = play.terminal.board.tally.boots
    order = play.order(OrderKind.REBOOT, {}, order_id="r1")
    for _ in range(30):
        play.run(lambda: bool(play.results), seconds=5)
        if play.results:
            break
        play.counter += 1
        play.down(sign_order(replace(order, counter=play.counter), ORDER_KEY))

    cuts = play.terminal.board.tally.power_cuts
    assert play.results[-1].status is ResultStatus.DONE
    assert play.terminal.board.tally.boots == boots + cuts + 1


def test_only_the_last_sixty_four_answers_are_remembered(play: Play) -> None:
    for number in range(70):
        play.order(OrderKind.MESSAGE, {"text": "hello"}, order_id=f"m{number}")
    play.run(seconds=5.0)
    count = len(play.results)
    play.order(OrderKind.MESSAGE, {"text": "hello"}, order_id="m69")
    play.order(OrderKind.MESSAGE, {"text": "hello"}, order_id="m0")
    play.run(seconds=1.0)

    assert (count, len(play.results)) == (70, 72), "the old one is carried out anew, which its counter allows"
    assert len(play.terminal.board.journal.keys("o/")) == 64


@pytest.mark.parametrize(
    ("kind", "args", "status", "code"),
    [
        (OrderKind.INSPECT, {}, ResultStatus.DONE, Code.OK),
        (OrderKind.LOCK, {}, ResultStatus.DONE, Code.OK),
        (OrderKind.UNLOCK, {}, ResultStatus.DONE, Code.OK),
        (OrderKind.MESSAGE, {"text": "hello"}, ResultStatus.DONE, Code.OK),
        (OrderKind.PARAMS_SET, {"values": {"currency": "EUR"}}, ResultStatus.DONE, Code.OK),
        (OrderKind.LOGS, {"l": 1}, ResultStatus.REFUSED, Code.KIND_UNSUPPORTED),
        (OrderKind.UPGRADE_PREPARE, {"u": "other"}, ResultStatus.REFUSED, Code.UPGRADE_UNKNOWN),
        (OrderKind.UPGRADE_PREPARE, {"u": 7}, ResultStatus.REFUSED, Code.KIND_UNSUPPORTED),
        (OrderKind.UPGRADE_OFFER, {"u": "u9"}, ResultStatus.REFUSED, Code.KIND_UNSUPPORTED),
    ],
)
def test_each_kind_has_its_answer(
    play: Play, kind: OrderKind, args: dict[str, Plain], status: ResultStatus, code: Code
) -> None:
    play.order(kind, args)

    assert answer(play) == (status, code)


def test_parameters_survive_a_reboot(play: Play) -> None:
    play.order(OrderKind.PARAMS_SET, {"values": {"currency": "EUR"}})
    play.run(seconds=1.0)
    play.terminal.power_cut(play.now)
    play.run(seconds=60.0)

    assert play.terminal.board.journal.get("params") == {"currency": "EUR", "merchant": "M000"}


@pytest.mark.parametrize("skew_s", [-400 * 86_400.0, 400 * 86_400.0])
def test_wrong_clock_never_makes_a_terminal_refuse_orders_for_good(skew_s: float) -> None:
    """The welcome corrects the time, also after a reboot and before the next welcome."""
    play = Play(faults=Faults(clock_skew_s=skew_s))

    assert play.upgrade_to(What.COMMITTED)
    assert abs(play.hellos[-1].facts.clock_ms - play.options.unix_base_ms) > 300 * DAY_MS
