"""The shop: payments begin and end, fill the batch, stop when the terminal is away; and a merchant who answers."""

from __future__ import annotations

from random import Random

from device_sim.options import Merchant
from device_sim.options import Shop as ShopOptions
from device_sim.shop import Answer, MerchantDesk, Shop


def shop(speed: float = 1.0, **changes: float) -> Shop:
    return Shop(ShopOptions(**changes), speed, 0, Random(1))  # type: ignore[arg-type]  # the tests give numbers only


def pass_time(found: Shop, until: float) -> float:
    now = 0.0
    while (at := found.deadline) is not None and at <= until:
        now = max(now, at)
        found.on_time(now)
    return now


def test_payments_come_at_their_rate_and_fill_the_batch() -> None:
    found = shop(payment_every_s=60, declined_p=0.1)
    found.serve(0.0)
    pass_time(found, 36_000)

    assert 400 < found.ok_count + found.failed_count < 620
    assert found.unsettled_count == found.ok_count
    assert 20 < found.failed_count < 90


def test_payment_under_way_fails_when_the_terminal_goes() -> None:
    found = shop(payment_every_s=10)
    found.serve(0.0)
    pays_at = found.deadline
    assert pays_at is not None
    found.on_time(pays_at)
    before = found.in_transaction
    found.stop()

    assert [before, found.in_transaction] == [True, False]
    assert found.failed_count == 1


def test_locked_terminal_takes_no_payments() -> None:
    found = shop(payment_every_s=10)
    found.serve(0.0)
    found.locked = True
    pass_time(found, 1000)
    found.serve(1000.0)

    assert (found.ok_count + found.failed_count, found.deadline) == (0, None)


def test_closed_shop_waits_for_the_morning() -> None:
    """Unix time 0 is midnight in UTC."""
    found = shop(open_min=9 * 60, close_min=18 * 60, utc_offset_min=0, payment_every_s=1)

    assert found.opens_in_s(0.0) == 9 * 3600
    assert found.opens_in_s(10 * 3600.0) == 0
    assert found.opens_in_s(20 * 3600.0) == 13 * 3600
    found.serve(0.0)
    assert found.deadline is not None
    assert found.deadline > 9 * 3600


def test_merchant_answers_in_turn_and_repeats_the_last() -> None:
    desk = MerchantDesk(Merchant(answers=("postpone:600", "silent", "accept"), delay_s=(10, 10)), 2.0, Random(1))

    assert desk.ask(0.0) == 5.0
    assert desk.answer() == Answer("postpone", 300.0)
    assert desk.ask(0.0) is None
    for _ in range(2):
        assert desk.ask(60.0) == 65.0
        assert desk.answer() == Answer("accept")
