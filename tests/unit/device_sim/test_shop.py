"""The shop: payments begin and end, fill the batch, stop when the terminal is away; and a merchant who answers."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from device_sim.options import Merchant
from device_sim.options import Shop as ShopOptions
from device_sim.profiles import LinkProfile
from device_sim.radio import OVERHEAD, Radio
from device_sim.shop import Answer, MerchantDesk, Shop
from device_sim.till import Paid

LINK = LinkProfile(down_bps=1e6, up_bps=5e5, delay_ms=40.0, rate_sigma=0.35, stalls_per_h=60.0)
CARDS: dict[str, Any] = {"payment_every_s": (10.0, 20.0), "lead_s": (0.2, 0.6), "host_s": (0.15, 0.4)}


def shop(speed: float = 1.0, radio: Radio | None = None, **changes: Any) -> Shop:  # noqa: ANN401 - any option
    options = ShopOptions(**changes)
    return Shop(options, speed, 0, radio or Radio(LinkProfile(), Random(0)), Random(1))


def pass_time(found: Shop, until: float) -> float:
    now = 0.0
    while (at := found.deadline) is not None and at <= until:
        now = max(now, at)
        found.on_time(now)
    return now


def test_payments_come_at_their_rate_and_fill_the_batch() -> None:
    found = shop(payment_every_s=(60, 60), declined_p=0.1)
    found.serve(0.0)
    pass_time(found, 36_000)

    assert 400 < found.ok_count + found.failed_count < 620
    assert found.unsettled_count == found.ok_count
    assert 20 < found.failed_count < 90


def test_payment_under_way_fails_when_the_terminal_goes() -> None:
    found = shop(payment_every_s=(10, 10))
    found.serve(0.0)
    pays_at = found.deadline
    assert pays_at is not None
    found.on_time(pays_at)
    before = found.in_transaction
    found.stop()

    assert [before, found.in_transaction] == [True, False]
    assert found.failed_count == 1


def test_locked_terminal_takes_no_payments() -> None:
    found = shop(payment_every_s=(10, 10))
    found.serve(0.0)
    found.locked = True
    pass_time(found, 1000)
    found.serve(1000.0)

    assert (found.ok_count + found.failed_count, found.deadline) == (0, None)


def test_closed_shop_waits_for_the_morning() -> None:
    """Unix time 0 is midnight in UTC."""
    found = shop(open_min=9 * 60, close_min=18 * 60, utc_offset_min=0, payment_every_s=(1, 1))

    assert found.opens_in_s(0.0) == 9 * 3600
    assert found.opens_in_s(10 * 3600.0) == 0
    assert found.opens_in_s(20 * 3600.0) == 13 * 3600
    found.serve(0.0)
    assert found.deadline is not None
    assert found.deadline > 9 * 3600


def answers(radio: Radio, *, load_bytes: int = 0, until: float = 600.0) -> list[Paid]:
    """All payments of a shop on a link that also gets a load every 0.1 s."""
    found = shop(radio=radio, **CARDS)
    paid: list[Paid] = []
    found.till.on_answer = paid.append
    found.serve(0.0)
    loads = 0
    while (at := found.deadline) is not None and at <= until:
        while load_bytes and loads / 10 <= at:
            radio.down.send(loads / 10, load_bytes)
            loads += 1
        found.on_time(at)
    return paid


def test_answer_of_a_payment_alone_is_delayed_by_nothing_else() -> None:
    paid = answers(Radio(LINK, Random(6)))

    assert 30 < len(paid) < 60
    assert all(one.delay_s == one.alone_s > 0.04 for one in paid)


def test_answer_beside_a_load_waits_for_the_queue_and_what_it_would_have_been_is_known() -> None:
    """90 % of the link: in each step of a second with a low rate a queue grows."""
    loaded, idle = answers(Radio(LINK, Random(6)), load_bytes=10_800), answers(Radio(LINK, Random(6)))

    assert all(one.delay_s >= one.alone_s for one in loaded)
    assert sum(one.delay_s > one.alone_s + 0.05 for one in loaded) > len(loaded) / 4
    assert loaded[0].alone_s == pytest.approx(idle[0].alone_s)


def test_cards_come_at_the_same_moments_whatever_the_link_carries() -> None:
    def cards(radio: Radio, load_bytes: int) -> list[float]:
        found = shop(radio=radio, **CARDS)
        found.serve(0.0)
        began: list[float] = []
        while (at := found.deadline) is not None and at <= 300.0:
            radio.down.send(at, load_bytes)
            before = found.in_transaction
            if found.on_time(at) and not before:
                began.append(at)
        return began

    assert cards(Radio(LINK, Random(6)), 30_000) == cards(Radio(LINK, Random(6)), 0)


def test_payment_is_asked_answered_and_through_in_this_order() -> None:
    """Card 2 s, request 600 bytes at 500 kbit/s and 40 ms, host 1 s, answer 1,200 bytes at 1 Mbit/s and 40 ms."""
    fixed = LinkProfile(down_bps=1e6 * OVERHEAD, up_bps=5e5 * OVERHEAD, delay_ms=40.0)
    found = shop(radio=Radio(fixed, Random(1)), lead_s=(2.0, 2.0), host_s=(1.0, 1.0))
    found.expect(10.0)
    steps = []
    while (at := found.deadline) is not None:
        steps.append((round(at, 4), found.on_time(at), found.till.step.value))

    assert steps == [
        (10.0, True, "card"),
        (12.0, False, "asked"),
        (13.0496, False, "answered"),
        (13.0992, True, "idle"),
    ]
    assert found.till.delays.summary()["count"] == 1


def test_first_customer_waits_for_the_day_to_begin() -> None:
    found = shop(payment_every_s=(10.0, 20.0), payments_from_s=100.0)
    found.serve(0.0)

    assert found.deadline is not None
    assert 110.0 <= found.deadline <= 120.0


def test_merchant_answers_in_turn_and_repeats_the_last() -> None:
    desk = MerchantDesk(Merchant(answers=("postpone:600", "silent", "accept"), delay_s=(10, 10)), 2.0, Random(1))

    assert desk.ask(0.0) == 5.0
    assert desk.answer() == Answer("postpone", 300.0)
    assert desk.ask(0.0) is None
    for _ in range(2):
        assert desk.ask(60.0) == 65.0
        assert desk.answer() == Answer("accept")
