"""Each day of the ledger is sealed once it is over, by a clock in hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import anyio
import pytest

from gateway.errors import StoreError
from gateway.services import audit, seals
from gateway.services.audit import Verdict
from gateway.services.context import Services
from gateway.services.days import DAY_US, start_us
from gateway.store import ledger
from gateway.store import seals as stored
from gateway.store.database import Database
from gateway.store.doorbell import Doorbell
from gateway.trust.keys import KeyRing, public_of
from gateway.trust.seals import Seal, sign_seal
from gateway.wire.messages import Signed
from tests.integration.http_gateway import until
from tests.integration.store.build import entry

PRIVATE: Final = bytes(range(32))
NOON_US: Final = start_us("2026-11-26") + DAY_US // 2
MINUTE_US: Final = 60_000_000


@dataclass
class Hand:
    """A clock that a test moves, and a gateway's services by it."""

    services: Services
    now_us: int = NOON_US

    async def write(self, *ats_us: int, terminal: str = "T1") -> None:
        """Entries of these times, or of now."""
        await ledger.append(self.services.db, [entry(at_us, terminal=terminal) for at_us in ats_us or (self.now_us,)])

    async def sealed(self) -> list[tuple[str, int, int]]:
        """Day, first and last entry of what is due now."""
        return [(seal.day, seal.first_seq, seal.last_seq) for seal in await seals.seal_due(self.services)]


@pytest.fixture
def clock(db: Database, tmp_path: Path) -> Hand:
    """A store and a clock that shows noon."""
    found = Hand(
        Services(
            db=db,
            doorbell=Doorbell(),
            packages_path=tmp_path,
            ring=KeyRing([]),
            sign_seal=lambda seal: sign_seal(seal, PRIVATE),
            seal_ring=KeyRing([public_of(PRIVATE)]),
            now_us=lambda: found.now_us,
        )
    )
    return found


async def test_a_day_is_sealed_a_minute_after_it_is_over_and_once(clock: Hand) -> None:
    assert await clock.sealed() == []  # nothing has happened
    await clock.write()
    await clock.write()
    clock.now_us += DAY_US // 2
    await clock.write()  # the next day's first
    assert await clock.sealed() == []
    clock.now_us += MINUTE_US
    assert await clock.sealed() == [("2026-11-26", 1, 2)]
    assert await clock.sealed() == []
    clock.now_us += DAY_US
    assert await clock.sealed() == [("2026-11-27", 3, 3)]
    newest = await stored.last(clock.services.db)
    verdicts = [one async for one in audit.verify(clock.services.db, clock.services.seal_ring) if isinstance(one, Verdict)]

    assert newest is not None
    assert (newest.seal.number, newest.seal.sealed_us) == (2, clock.now_us)
    assert [(one.finding_count, one.seal_count, one.unsealed_count) for one in verdicts] == [(0, 2, 0)]


async def test_a_gateway_that_was_away_for_days_seals_each_when_it_comes_up(clock: Hand) -> None:
    await clock.write(NOON_US, NOON_US + DAY_US, NOON_US + 3 * DAY_US, NOON_US + 9 * DAY_US)
    clock.now_us += 9 * DAY_US

    async def three_seals() -> bool:
        return len(await stored.since(clock.services.db)) == 3

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seals.run, clock.services)
        await until(three_seals, timeout_s=10)
        tasks.cancel_scope.cancel()
    days = [one.seal.day for one in await stored.since(clock.services.db)]

    assert days == ["2026-11-26", "2026-11-27", "2026-11-29"]


async def test_a_clock_that_steps_leaves_no_entry_without_a_seal(clock: Hand) -> None:
    """Seals cover stretches of numbers, whatever the times in them say."""
    await clock.write(NOON_US, NOON_US + 900 * DAY_US, NOON_US + 1)
    clock.now_us += DAY_US
    assert await clock.sealed() == [("2026-11-26", 1, 3)]
    await clock.write(NOON_US + 2, clock.now_us)  # the first is late for its day
    assert await clock.sealed() == [("2026-11-26", 4, 4)]
    await clock.write(-5)
    assert await clock.sealed() == [("1970-01-01", 5, 6)]
    clock.now_us += DAY_US
    assert await clock.sealed() == []


async def test_a_store_that_fails_is_tried_again(clock: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    await clock.write()
    clock.now_us += 2 * DAY_US
    tries: list[int] = []

    def sign(seal: Seal) -> Signed:
        tries.append(seal.number)
        if len(tries) < 3:
            raise StoreError("the disk is full", code="store_full")
        return sign_seal(seal, PRIVATE)

    monkeypatch.setattr(seals, "LOOK_EVERY_S", 0.01)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seals.run, replace(clock.services, sign_seal=sign))
        await until(lambda: stored.last(clock.services.db), timeout_s=10)
        tasks.cancel_scope.cancel()

    assert tries == [1, 1, 1]
