"""The budgets of open transfers in memory: opened from the store, shared by those who draw on them, saved every few seconds.

A transfer sends nothing before its terminal's, site's, campaign's and the gateway's budget are known, which takes one read of
the store for all that opened meanwhile. What was granted is saved every ``SAVE_EVERY_S``: whoever is killed has forgotten at
most so much of it. An account without users is forgotten as soon as it is saved, so there are no more than four for each open
transfer and a few of the last seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import anyio
import structlog

from gateway.core.budgets import UTC, Account, Bucket, Day, Defaults, Limit, Scope, Spent, zone_or_utc
from gateway.core.effects import Save, SaveDay
from gateway.core.plan import Plan
from gateway.core.purse import Purse, cost_of
from gateway.core.terminal import Terminal
from gateway.engine.clock import Clock
from gateway.errors import StoreError
from gateway.store import budgets
from gateway.store.budgets import Key
from gateway.store.database import Database

log = structlog.get_logger()

SAVE_EVERY_S: Final = 5.0
#: After a failed read of the store (seconds).
STORE_RETRY_S: Final = 1.0
GATEWAY: Final[Key] = (Scope.GATEWAY, "")


class Saver(Protocol):
    """The store's writer."""

    async def save(self, saves: Sequence[Save]) -> None:
        """Return when all is durable; ``StoreError`` when nothing is."""
        ...


@dataclass(frozen=True, slots=True)
class Asker:
    """A terminal whose upgrade of ``plan`` wants ``left_bytes``, or is about to."""

    terminal: str
    plan: Plan
    left_bytes: int
    zone: str = UTC


@dataclass(slots=True)
class _Lane:
    asker: Asker
    purse: Purse
    known: Callable[[str], None]
    accounts: Sequence[Account] = ()


class Budgets:
    """See the module. It is the ``Purses`` of the pump."""

    def __init__(self, db: Database, writer: Saver, clock: Clock, defaults: Defaults, counters: Counter[str]) -> None:
        self._db = db
        self._writer = writer
        self._clock = clock
        self._defaults = defaults
        self._counters = counters
        self._accounts: dict[Key, Account] = {}
        self._given: dict[Key, Limit] = {}
        """What holds for each account where nobody has set another."""
        self._lanes: dict[str, _Lane] = {}
        self._new: dict[str, _Lane] = {}
        self._bell = anyio.Event()
        self._reading = anyio.Lock()

    @property
    def gate(self) -> Bucket | None:
        """The whole gateway's rate."""
        gateway = self._accounts.get(GATEWAY)
        return None if gateway is None else gateway.bucket

    def __len__(self) -> int:
        return len(self._accounts)

    def enter(self, session: Terminal, known: Callable[[str], None]) -> Purse:
        """The purse of the transfer that ``session`` opens; ``known`` is called once its budgets are, and when they change."""
        upgrade = session.upgrade
        if upgrade is None:
            raise ValueError(f"terminal {session.id} has no upgrade to transfer")
        zone = session.facts.time_zone if session.facts is not None else upgrade.zone
        asker = Asker(session.id, upgrade.plan, upgrade.plan.target.size_bytes, zone_or_utc(zone))
        self.leave(session.id)
        lane = self._lanes[session.id] = self._new[session.id] = _Lane(asker, Purse(), known)
        self._bell.set()
        return lane.purse

    def leave(self, terminal: str) -> None:
        """Its transfer is over: what it was granted and did not need goes back."""
        lane = self._lanes.pop(terminal, None)
        self._new.pop(terminal, None)
        if lane is not None:
            lane.purse.settle(self._clock.now())
            for account in lane.accounts:
                account.users -= 1

    async def run(self) -> None:
        """Never returns: fills new purses, saves what was granted."""
        save_at = self._clock.now() + SAVE_EVERY_S
        while True:
            if not self._new:
                self._bell = anyio.Event()
                with anyio.move_on_after(max(0.0, save_at - self._clock.now())):
                    await self._bell.wait()
            try:
                await self._fill()
            except StoreError as exc:
                self._counters["store_failed"] += 1
                log.warning("budgets_unreadable", reason=str(exc))
                await anyio.sleep(STORE_RETRY_S)
            if self._clock.now() >= save_at:
                await self.save()
                save_at = self._clock.now() + SAVE_EVERY_S

    async def save(self) -> None:
        """Keep what was granted; what cannot be kept now is tried again. Forget accounts that nobody uses."""
        changed = [account for account in self._accounts.values() if account.day.dirty]
        for account in changed:
            account.day.dirty = False  # what is granted while we wait makes it dirty again
        saves = [
            SaveDay(
                scope=account.scope,
                name=account.name,
                ends_us=int(account.day.ends_at * 1e6),
                used_bytes=account.day.used_bytes,
            )
            for account in changed
        ]
        try:
            await self._writer.save(saves)
        except StoreError as exc:
            self._counters["store_failed"] += 1
            log.warning("budgets_not_saved", reason=str(exc))
            for account in changed:
                account.day.dirty = True
            return
        now = self._clock.now()
        for key in [key for key, account in self._accounts.items() if account.idle(now) and key != GATEWAY]:
            del self._accounts[key], self._given[key]

    async def close(self) -> None:
        """The gateway stops: give back what was granted and not sent, and save."""
        for lane in self._lanes.values():
            lane.purse.settle(self._clock.now())
        await self.save()

    async def refresh(self) -> None:
        """Take over what people have set meanwhile; ``StoreError`` when it cannot be read."""
        async with self._reading:
            rows = await budgets.load(self._db, _with_defaults(self._accounts))
            limits = {key: budgets.in_force(key, given, rows) for key, given in self._given.items()}
        changed = {account for key, account in self._accounts.items() if account.limit != limits.get(key, account.limit)}
        for account in changed:
            account.relimit(limits[account.scope, account.name])
        for lane in [lane for lane in self._lanes.values() if not changed.isdisjoint(lane.accounts)]:
            self._hand_out(lane)

    async def spent(self, askers: Sequence[Asker]) -> list[Spent | None]:
        """For each, why it could not be sent a segment today, or ``None``; ``StoreError``."""
        async with self._reading:
            opened = await self._open(askers)
        now = self._clock.now()
        return [_refusal(accounts, asker.left_bytes, now) for asker, accounts in zip(askers, opened, strict=True)]

    async def _fill(self) -> None:
        """Give every new purse what it draws on."""
        if not self._new:
            return
        lanes, self._new = self._new, {}
        try:
            async with self._reading:
                opened = await self._open([lane.asker for lane in lanes.values()])
        except StoreError:
            self._new = {name: lane for name, lane in lanes.items() if self._lanes.get(name) is lane} | self._new
            raise
        for (name, lane), accounts in zip(lanes.items(), opened, strict=True):
            if self._lanes.get(name) is not lane:
                continue  # closed while we read
            lane.accounts = [self._accounts.setdefault((one.scope, one.name), one) for one in accounts]
            for account in lane.accounts:
                account.users += 1
                self._given.setdefault((account.scope, account.name), self._given_to(account.scope, lane.asker.plan))
            self._hand_out(lane)

    def _hand_out(self, lane: _Lane) -> None:
        rates = [one.bucket for one in lane.accounts if one.bucket is not None and one.scope is not Scope.GATEWAY]
        lane.purse.fill(lane.accounts, rates)
        lane.known(lane.asker.terminal)

    async def _open(self, askers: Sequence[Asker]) -> list[list[Account]]:
        """The accounts of each: those in memory, else as stored. None is kept by this."""
        sites = await budgets.sites(self._db, [asker.terminal for asker in askers])
        keys = [_keys(asker, sites.get(asker.terminal)) for asker in askers]
        missing = {key for some in keys for key in some} - self._accounts.keys()
        rows = await budgets.load(self._db, _with_defaults(missing))
        days = await budgets.days(self._db, missing)
        made: dict[Key, Account] = {}
        now = self._clock.now()
        for asker, some in zip(askers, keys, strict=True):
            for key in some:
                if key in self._accounts or key in made:
                    continue
                limit = budgets.in_force(key, self._given_to(key[0], asker.plan), rows)
                zone = self._defaults.zone_of(key[0], asker.zone)
                day = days.get(key)
                used_bytes, ends_us = (day.used_bytes, day.ends_us) if day is not None else (0, 0)
                made[key] = Account(
                    *key, limit, Day(limit.bytes_per_day, zone, now, used_bytes=used_bytes, ends_at=ends_us / 1e6)
                )
        return [[self._accounts.get(key) or made[key] for key in some] for some in keys]

    def _given_to(self, scope: Scope, plan: Plan) -> Limit:
        """What holds where nobody has set another."""
        return self._defaults.of(scope, plan.limit)


def _keys(asker: Asker, site: str | None) -> list[Key]:
    """In the order in which they are asked: the narrowest first."""
    own: list[Key] = [(Scope.TERMINAL, asker.terminal)]
    shared: list[Key] = [] if site is None else [(Scope.SITE, site)]
    return [*own, *shared, (Scope.CAMPAIGN, asker.plan.campaign), GATEWAY]


def _refusal(accounts: Sequence[Account], left_bytes: int, now: float) -> Spent | None:
    for account in accounts:
        account.day.roll(now)
        if not account.day.has_room(cost_of(left_bytes)):
            return account.spent()
    return None


def _with_defaults(keys: Iterable[Key]) -> set[Key]:
    """``keys``, and those under which a person sets what holds for a whole scope."""
    return {*keys, (Scope.TERMINAL, ""), (Scope.SITE, ""), GATEWAY}
