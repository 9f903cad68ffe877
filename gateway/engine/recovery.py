"""After a start or an outage of the link: what was believed of the terminals may be stale, so they are asked, not all at once.

Only terminals that were online are asked, at ``ASK_PER_S``; one that stays silent counts as offline a minute later. One that
has begun a new session meanwhile, as all do after a broker's death, is left alone. Transfers do not wait for this: a terminal's
next ack says all that its transfer needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio
import structlog

from gateway.core.events import Tick, Unsure
from gateway.core.states import FINAL, UpgradeState
from gateway.engine.clock import Clock
from gateway.engine.dispatcher import Dispatcher
from gateway.engine.executor import Executor
from gateway.engine.patience import PATIENCE_S
from gateway.engine.ports import Link
from gateway.engine.sessions import Sessions
from gateway.errors import StoreError
from gateway.store import terminals, upgrades
from gateway.store.database import Database
from gateway.store.selection import TerminalFilter

log = structlog.get_logger()

ASK_PER_S: Final = 200
PAGE: Final = 20
#: What has left ``scheduled`` and has not ended.
UNDER_WAY: Final = frozenset(UpgradeState) - FINAL - {UpgradeState.SCHEDULED}


class Recovery:
    """See the module."""

    def __init__(
        self, db: Database, sessions: Sessions, dispatcher: Dispatcher, executor: Executor, link: Link, clock: Clock
    ) -> None:
        self._db = db
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._executor = executor
        self._link = link
        self._clock = clock

    async def run(self) -> None:
        """Never returns: one round for every time that the link comes up, the first after the start included."""
        await self._wind_clocks()
        seen = 0
        while True:
            generation, connected = self._link.generation, self._link.connected
            if connected and generation != seen:
                seen = generation
                try:
                    await self._ask_all()
                except StoreError as exc:
                    log.exception("recovery_unreadable", reason=str(exc))
                    seen = 0
                    await anyio.sleep(1.0)
                continue
            await self._link.wait_change(generation=generation, connected=connected)

    async def _wind_clocks(self) -> None:
        """At the start: deadlines run for terminals that are away too, so every upgrade under way is taken into memory.

        None passes yet: while the gateway was away, a terminal may have spoken in vain.
        """
        after = ""
        while True:
            try:
                rows = await upgrades.page_open(self._db, states=UNDER_WAY, after=after, limit=PAGE)
                await self._load([row.terminal for row in rows])
            except StoreError as exc:
                log.warning("recovery_unreadable", reason=str(exc))
                await anyio.sleep(1.0)
                continue
            if not rows:
                return
            after = rows[-1].id
            for row in rows:
                session = self._sessions.get(row.terminal)
                if session is not None:
                    self._dispatcher.apply(session, Tick(self._clock.now() + PATIENCE_S))
            await self._executor.room()

    async def _ask_all(self) -> None:
        asked, after, since = 0, "", self._clock.now()
        while True:
            rows = await terminals.page(self._db, wanted=TerminalFilter(online=True), after=after, limit=PAGE)
            names = [row.id for row in rows]
            if not names:
                break
            after = names[-1]
            await self._load(names)
            for name in names:
                session = self._sessions.get(name)
                if session is not None and session.presence.born_at < since:
                    self._dispatcher.apply(session, Unsure())
                    asked += 1
            await self._executor.room()
            await anyio.sleep(len(names) / ASK_PER_S)
        log.info("presence_asked", terminals=asked)

    async def _load(self, names: Sequence[str]) -> None:
        """Bring them into memory; a damaged row keeps out its own terminal only. ``StoreError`` when nothing can be read."""
        try:
            await self._sessions.load(names)
        except StoreError as exc:
            if exc.code != "store_corrupt":
                raise
            for name in names:
                try:
                    await self._sessions.load([name])
                except StoreError as one:
                    log.error("terminal_unloadable", terminal=name, reason=str(one))  # noqa: TRY400 - the text says it all
