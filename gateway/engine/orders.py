"""Brings orders that people stored to their terminals' sessions; the core sends, repeats and expires them."""

from __future__ import annotations

from collections import Counter
from typing import Final

import structlog

from gateway.core.events import Ordered
from gateway.engine.dispatcher import Dispatcher
from gateway.engine.sessions import Sessions
from gateway.errors import StoreError
from gateway.store import orders
from gateway.store.database import Database
from gateway.store.doorbell import Doorbell
from gateway.wire.codes import OrderKind

log = structlog.get_logger()

LOOK_EVERY_S: Final = 5.0
PAGE: Final = 500


class Orders:
    """Reads all open rows again and again: an order that its session knows already is not taken twice."""

    def __init__(
        self, db: Database, sessions: Sessions, dispatcher: Dispatcher, doorbell: Doorbell, counters: Counter[str]
    ) -> None:
        self._db = db
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._doorbell = doorbell
        self._counters = counters

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                await self._look()
            except StoreError as exc:
                self._counters["store_failed"] += 1
                log.exception("orders_unreadable", reason=str(exc))
            await self._doorbell.wait("orders", LOOK_EVERY_S)

    async def _look(self) -> None:
        """Orders of offline terminals come along when their session is loaded at the next birth; their expiry needs it now."""
        after = ""
        while True:
            page = await orders.page_open(self._db, after=after, limit=PAGE)
            if not page:
                return
            after = page[-1].id
            await self._sessions.load([row.terminal for row in page])
            for row in page:
                session = self._sessions.get(row.terminal)
                if session is not None:
                    self._dispatcher.apply(session, Ordered(row.id, OrderKind(row.kind), row.expires_us / 1e6, row.args))
            await self._dispatcher.room()
