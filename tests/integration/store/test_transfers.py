"""What transfers cost is kept once per transfer, summed over a campaign, and gives the rates of later ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.effects import SaveTransfer
from gateway.core.transfer.account import Account, Pause, PauseCause, Quantiles
from gateway.store import transfers
from gateway.store.database import Database
from tests.integration.store.build import AT_US, saved_terminal, upgraded, writing_to
from tests.unit.store.test_jsontext import FACTS


def quantiles(middle: float, count: int = 100) -> Quantiles:
    """A spread around ``middle``."""
    return Quantiles(p10=middle / 2, p50=middle, p90=middle * 2, p95=middle * 3, p99=middle * 4, count=count)


def saved(
    number: int = 1,
    transfer: int = 1,
    *,
    started_us: int = AT_US - 1,
    at_us: int = AT_US,
    ended: str = "",
    useful: int = 1000,
    goodput: float | None = 5e4,
) -> SaveTransfer:
    """The account of terminal ``number``'s transfer."""
    return SaveTransfer(
        upgrade=f"c1-{number}",
        terminal=f"T{number - 1:03}",
        campaign="c1",
        transfer=transfer,
        started_us=started_us,
        at_us=at_us,
        ended=ended,
        account=Account(
            useful_bytes=useful,
            sent_bytes=useful + 100,
            resent_bytes=100,
            overhead_bytes=25,
            chunks=3,
            acks=2,
            probes=1,
            connections=2,
            pauses={PauseCause.PAYMENT: Pause(count=2, seconds=3.5)},
            goodput_bps=None if goodput is None else quantiles(goodput),
            delay_ms=quantiles(20.0),
        ),
    )


async def keep(db: Database, *saves: SaveTransfer) -> None:
    """Through the writer, as the engine does."""
    async with writing_to(db) as writer:
        await writer.save(saves)


async def test_what_is_saved_is_read_and_the_last_word_on_a_transfer_counts(db: Database) -> None:
    await upgraded(db, 2)
    final = saved(useful=5000, ended="staged", at_us=AT_US + 9)
    await keep(db, saved(), saved(transfer=2), saved(2), final)

    first, second = await transfers.of_upgrade(db, "c1-1")
    assert (first.transfer, second.transfer) == (1, 2)
    assert first.account == final.account
    assert (first.upgrade, first.terminal, first.campaign) == ("c1-1", "T000", "c1")
    assert (first.started_us, first.at_us, first.ended, second.ended) == (AT_US - 1, AT_US + 9, "staged", "")


async def test_a_terminals_transfers_come_newest_first(db: Database) -> None:
    await upgraded(db, 1)
    await keep(db, *(saved(transfer=number, started_us=AT_US + number) for number in (2, 3, 1)))

    assert [row.transfer for row in await transfers.of_terminal(db, "T000", limit=2)] == [3, 2]
    assert await transfers.of_terminal(db, "T001") == []


async def test_a_campaign_is_the_sum_of_its_transfers(db: Database) -> None:
    await upgraded(db, 3)
    await keep(db, *(saved(number, goodput=number * 1e4) for number in (1, 2, 3)), saved(1, 2, goodput=None))

    total = await transfers.of_campaign(db, "c1")
    assert (total.transfers, total.useful_bytes, total.sent_bytes) == (4, 4000, 4400)
    assert (total.resent_bytes, total.overhead_bytes) == (400, 100)
    assert total.wasted_ratio == pytest.approx(400 / 4400)
    assert total.pauses == {"payment": Pause(count=8, seconds=14.0)}
    assert (total.goodput_p50_bps, total.delay_p95_ms) == (2e4, 60.0)


async def test_a_campaign_without_transfers_has_cost_nothing(db: Database) -> None:
    total = await transfers.of_campaign(db, "c1")

    assert (total.transfers, total.sent_bytes, total.wasted_ratio, total.pauses) == (0, 0, 0.0, {})
    assert (total.goodput_p50_bps, total.delay_p95_ms) == (None, None)


async def test_rates_are_those_of_the_newest_transfers_that_measured_one(db: Database) -> None:
    await upgraded(db, 2)
    async with writing_to(db) as writer:
        await writer.save([saved_terminal("T000", facts=FACTS)])
    end_us = AT_US + 14_000_000  # 3.5 of the 14 s were payments, so three quarters of the goodput are left
    await keep(
        db,
        saved(transfer=1, started_us=AT_US + 1, goodput=1e4, at_us=end_us),
        saved(transfer=2, started_us=AT_US + 2, goodput=2e4, at_us=end_us),
        saved(transfer=3, started_us=AT_US + 3, goodput=None, at_us=end_us),
        saved(2, started_us=AT_US + 4, goodput=8e4, at_us=end_us),
    )

    assert await transfers.rates_of_terminal(db, "T000") == pytest.approx([1.5e4, 0.75e4])
    assert await transfers.rates_of_kind(db, model="lakala-4g-esign", limit=2) == pytest.approx([6e4, 1.5e4])
    assert await transfers.rates_of_kind(db, rat=FACTS.rat) == pytest.approx([1.5e4, 0.75e4])
    assert await transfers.rates_of_kind(db, model="another") == []
    assert len(await transfers.rates_of_kind(db)) == 3
    assert await transfers.last_goodputs(db, ["T000", "T001", "T9"]) == {"T000": 2e4, "T001": 8e4}


async def test_time_away_slows_no_rate_and_a_broken_clock_makes_none_negative(db: Database) -> None:
    row = saved(at_us=AT_US + 10_000_000)
    away: dict[str, Pause] = {PauseCause.SILENCE: Pause(count=1, seconds=6.0), PauseCause.BUDGET: Pause(count=1, seconds=2.0)}
    broken: dict[str, Pause] = {PauseCause.CREDIT: Pause(count=1, seconds=1e6)}
    await upgraded(db, 2)
    await keep(
        db,
        replace(row, account=replace(row.account, pauses=away)),
        replace(row, transfer=2, account=replace(row.account, pauses=broken)),
    )

    first, second = await transfers.of_upgrade(db, "c1-1")
    assert first.overall_bps == pytest.approx(5e4 / 2)
    assert second.overall_bps == pytest.approx(5e4 * transfers.LEAST_MOVING)
