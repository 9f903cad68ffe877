"""What transfers cost is kept once per transfer, summed over a campaign, and gives the rates of later ones."""

from __future__ import annotations

import pytest

from gateway.core.effects import SaveTransfer
from gateway.core.transfer.account import Account, Pause, PauseCause, Quantiles
from gateway.store import transfers
from gateway.store.database import Database
from tests.integration.store.build import AT_US, upgraded, writing_to


def quantiles(middle: float, count: int = 100) -> Quantiles:
    """A spread around ``middle``."""
    return Quantiles(p10=middle / 2, p50=middle, p90=middle * 2, p95=middle * 3, p99=middle * 4, count=count)


def saved(
    number: int = 1, transfer: int = 1, *, at_us: int = AT_US, ended: str = "", useful: int = 1000, goodput: float | None = 5e4
) -> SaveTransfer:
    """The account of terminal ``number``'s transfer."""
    return SaveTransfer(
        upgrade=f"c1-{number}",
        terminal=f"T{number - 1:03}",
        campaign="c1",
        transfer=transfer,
        started_us=AT_US - 1,
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
    await keep(db, *(saved(transfer=number, at_us=AT_US + number) for number in (2, 3, 1)))

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
    await keep(
        db,
        saved(transfer=1, at_us=AT_US + 1, goodput=1e4),
        saved(transfer=2, at_us=AT_US + 2, goodput=2e4),
        saved(transfer=3, at_us=AT_US + 3, goodput=None),
        saved(2, at_us=AT_US + 4, goodput=9e4),
    )

    assert [found.p50 for found in await transfers.goodputs_of_terminal(db, "T000")] == [2e4, 1e4]
    assert [found.p50 for found in await transfers.goodputs_of_model(db, "lakala-4g-esign", limit=2)] == [9e4, 2e4]
    assert await transfers.goodputs_of_model(db, "another") == []
    assert len(await transfers.goodputs_of_model(db, "")) == 3
