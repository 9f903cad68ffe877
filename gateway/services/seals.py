"""Seals the ledger: once a day in UTC is over, all of its entries under one signature of the gateway (docs/adr/0015).

``run`` is started by ``runtime`` in the root task group. Level, not edge: every look seals whatever past day is not sealed yet,
so a gateway that was down at midnight seals when it comes up. What a seal covers is a stretch of entry numbers; an entry whose
time belongs to a day that is sealed already, since a clock stepped back, gets into the next seal.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Never

import anyio
import structlog

from gateway.errors import StoreError
from gateway.services.context import Services
from gateway.services.days import DAY_US, day_of, end_us
from gateway.store import seals
from gateway.trust.chain import GENESIS
from gateway.trust.seal_audit import SignedSeal
from gateway.trust.seals import Seal

log = structlog.get_logger()

#: How long after midnight a day counts as over (seconds): entries that were decided before it are committed by then.
AFTER_S: Final = 60.0
#: Between two looks at most (seconds): the clock may have stepped.
LOOK_EVERY_S: Final = 600.0


async def run(services: Services) -> Never:
    """Never returns: seals each day a minute after it is over. A store that fails is tried again at the next look."""
    while True:
        try:
            await seal_due(services)
        except StoreError as exc:
            log.warning("ledger_not_sealed", reason=exc.message, code=exc.code)
        until_midnight_s = (DAY_US - services.now_us() % DAY_US) / 1e6
        await anyio.sleep(min(until_midnight_s + AFTER_S, LOOK_EVERY_S))


async def seal_due(services: Services) -> list[Seal]:
    """Seal every day that is over and has entries that no seal covers; returns the new seals.

    Raises:
        StoreError: the store cannot be read or written; seals made before that stay.
    """
    made: list[Seal] = []
    today = day_of(services.now_us() - int(AFTER_S * 1e6))
    while (seal := await _next(services, today)) is not None:
        signed = services.sign_seal(seal)
        await seals.add(services.db, SignedSeal(seal=seal, signature=signed.signature, key=signed.key))
        log.info("ledger_sealed", day=seal.day, seal=seal.number, entries=seal.entry_count, hash=seal.hash.hex())
        made.append(seal)
    return made


async def _next(services: Services, today: str) -> Seal | None:
    """The seal of the oldest day before ``today`` that has entries without one."""
    newest = await seals.last(services.db)
    number, after_seq, previous = (
        (newest.seal.number, newest.seal.last_seq, newest.seal.hash) if newest is not None else (0, 0, GENESIS)
    )
    oldest_us = await seals.oldest_us(services.db, after_seq=after_seq)
    if oldest_us is None or day_of(oldest_us) >= today:
        return None
    day = day_of(oldest_us)
    last_seq = await seals.last_before(services.db, end_us(day), after_seq=after_seq)
    digest, entry_count = sha256(), 0
    place = after_seq
    while rows := await seals.hashes(services.db, after_seq=place, last_seq=last_seq):
        for _, entry_hash in rows:
            digest.update(entry_hash)
        place = rows[-1][0]
        entry_count += len(rows)
    return Seal(
        number=number + 1,
        day=day,
        sealed_us=services.now_us(),
        first_seq=after_seq + 1,
        last_seq=last_seq,
        entry_count=entry_count,
        digest=digest.digest(),
        previous=previous,
    )
