"""The terminals in memory: loaded from the store when they are first heard of, forgotten when they have been idle long enough.

A session that is not here is nowhere else either: the store has all that matters, and the terminal's hello the rest. One object
per terminal, so whoever holds another one has lost it (``is_current``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from typing import Final

from gateway.core.attendance import Terms
from gateway.core.outgoing import OpenOrder
from gateway.core.plan import Plan
from gateway.core.snapshot import restore
from gateway.core.states import UpgradeState
from gateway.core.terminal import Terminal
from gateway.core.upgrade import Upgrade
from gateway.engine.plans import Plans
from gateway.store import orders, terminals, upgrades
from gateway.store.database import Database
from gateway.store.orders import OrderRow
from gateway.store.upgrades import UpgradeRow
from gateway.wire.codes import OrderKind
from gateway.wire.messages import Hello, Message, Report

#: Sessions kept in memory; beyond it idle ones go, the longest untouched first.
SESSIONS_MAX: Final = 50_000
#: Ended upgrades kept in one session for late reports.
PAST_MAX: Final = 4


class Sessions:
    """See the module."""

    def __init__(self, db: Database, plans: Plans, terms: Terms, counters: Counter[str]) -> None:
        self._db = db
        self._plans = plans
        self._terms = terms
        self._counters = counters
        self._held: dict[str, Terminal] = {}

    def __len__(self) -> int:
        return len(self._held)

    def get(self, terminal: str) -> Terminal | None:
        """The session, if it is in memory."""
        return self._held.get(terminal)

    def is_current(self, session: Terminal) -> bool:
        """Whether this object still is the terminal's session."""
        return self._held.get(session.id) is session

    def drop(self, terminal: str) -> None:
        """Forget a session whose commit failed: what it believes is not what the store holds."""
        self._held.pop(terminal, None)

    async def load(self, names: Iterable[str]) -> set[str]:
        """Bring these terminals into memory; returns those that are not registered. ``StoreError`` when nothing can be read."""
        wanted = dict.fromkeys(names)
        missing = [name for name in wanted if name not in self._held]
        if not missing:
            return set()

        rows = await terminals.load(self._db, missing)
        known = list(rows)
        open_upgrades = await upgrades.load_open(self._db, known)
        open_orders = await orders.load_open(self._db, known)
        for name, row in rows.items():
            under_way = [found for found in open_upgrades.get(name, ()) if found.state is not UpgradeState.SCHEDULED]
            upgrade = await self._upgrade(under_way[0]) if under_way else None
            if name in self._held:  # another task was quicker while we waited
                continue
            session = Terminal(
                name,
                self._terms,
                seen=row.seen_us / 1e6,
                facts=row.facts,
                upgrade=upgrade,
                awaits_hello=row.seen_us < self._terms.restored_at * 1e6,
            )
            session.presence.epoch, session.presence.online = row.epoch, row.online
            session.out.counter = row.counter
            self._held[name] = session
        for order in open_orders:
            self.add_order(order)
        self._evict(spare=wanted)
        return set(missing) - set(known)

    async def load_named(self, terminal: str, message: Message) -> None:
        """A report or hello may name an upgrade that ended before this session began: bring it in too."""
        session = self._held.get(terminal)
        wanted = _named(message)
        if session is None or not wanted or wanted in session.past:
            return
        if session.upgrade is not None and session.upgrade.id == wanted:
            return

        row = (await upgrades.load(self._db, [wanted])).get(wanted)
        if row is not None and row.terminal == terminal:
            session.past[wanted] = await self._upgrade(row)
            while len(session.past) > PAST_MAX:
                del session.past[next(iter(session.past))]

    async def take_upgrade(self, row: UpgradeRow) -> Terminal | None:
        """The session of an upgrade, with that upgrade as its present one; ``None`` while another is under way."""
        if await self.load([row.terminal]):
            return None

        session = self._held[row.terminal]
        present = session.upgrade
        if present is not None and present.id == row.id:
            return session
        if not session.may_swap:
            return None
        session.present(await self.aside(session, row))
        return session

    async def aside(self, session: Terminal, row: UpgradeRow) -> Upgrade:
        """An upgrade that is not the session's present one: the object that the session knows, else as stored."""
        known = session.past.get(row.id)
        return known if known is not None else await self._upgrade(row)

    def add_order(self, row: OrderRow) -> bool:
        """Give a stored order to its session; whether the session is in memory."""
        session = self._held.get(row.terminal)
        if session is None:
            return False
        session.out.take(OpenOrder(row.id, OrderKind(row.kind), row.args, row.expires_us / 1e6))
        return True

    async def _upgrade(self, row: UpgradeRow) -> Upgrade:
        plan: Plan = await self._plans.of(row.campaign)
        return restore(
            row.id,
            row.terminal,
            plan,
            state=row.state,
            attempt=max(1, row.attempt),
            code=row.code,
            snapshot=row.snapshot,
            least_step=self._terms.least_step,
        )

    def _evict(self, *, spare: Container[str]) -> None:
        if len(self._held) <= SESSIONS_MAX:
            return
        idle = [session for session in self._held.values() if session.idle and session.id not in spare]
        idle.sort(key=lambda session: session.seen)
        for session in idle[: len(self._held) - SESSIONS_MAX + SESSIONS_MAX // 10]:
            del self._held[session.id]
            self._counters["sessions_evicted"] += 1


def _named(message: Message) -> str:
    if isinstance(message, Report):
        return message.upgrade
    if isinstance(message, Hello) and message.upgrade is not None:
        return message.upgrade.id
    return ""
