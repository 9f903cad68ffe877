"""When a person sets a budget: transfers keep to it at once, and who waits for tomorrow though there is room now goes on."""

from __future__ import annotations

from typing import Final

import anyio
import structlog

from gateway.core.budgets import SPENT_CODES
from gateway.core.events import BudgetEased
from gateway.engine.budgets import Asker, Budgets
from gateway.engine.dispatcher import Dispatcher
from gateway.engine.executor import Executor
from gateway.engine.plans import Plans
from gateway.engine.sessions import Sessions
from gateway.errors import StoreError
from gateway.store import upgrades
from gateway.store.database import Database
from gateway.store.doorbell import BUDGETS, Doorbell

log = structlog.get_logger()

#: Look even if no doorbell rings (seconds).
LOOK_EVERY_S: Final = 60.0
#: After a failed read of the store (seconds).
STORE_RETRY_S: Final = 1.0
PAGE: Final = 200


class Easing:
    """See the module."""

    def __init__(
        self,
        db: Database,
        sessions: Sessions,
        plans: Plans,
        dispatcher: Dispatcher,
        executor: Executor,
        budgets: Budgets,
        doorbell: Doorbell,
    ) -> None:
        self._db = db
        self._sessions = sessions
        self._plans = plans
        self._dispatcher = dispatcher
        self._executor = executor
        self._budgets = budgets
        self._doorbell = doorbell

    async def run(self) -> None:
        """Never returns. The long look over all upgrades is for the start and for rings; a missed ring costs a minute."""
        seen = -1
        while True:
            rung = self._doorbell.version(BUDGETS)
            try:
                await self._budgets.refresh()
                if rung != seen:
                    await self.look()
            except StoreError as exc:
                log.warning("budgets_unreadable", reason=str(exc))
                await anyio.sleep(STORE_RETRY_S)
                continue
            seen = rung
            await self._doorbell.wait(BUDGETS, LOOK_EVERY_S, seen=seen)

    async def look(self) -> None:
        """Let go on who waits for tomorrow and need not any more; ``StoreError``."""
        after = ""
        while True:
            rows = await upgrades.page_coded(self._db, {code.value for code in SPENT_CODES}, after=after, limit=PAGE)
            if not rows:
                return
            after = rows[-1].id
            plans = {row.campaign: await self._plans.of(row.campaign) for row in rows}
            askers = [Asker(row.terminal, plan := plans[row.campaign], plan.target.size_bytes - row.have_bytes) for row in rows]
            spent = await self._budgets.spent(askers)
            for row, why in zip(rows, spent, strict=True):
                session = await self._sessions.take_upgrade(row) if why is None else None
                if session is not None:
                    self._dispatcher.apply(session, BudgetEased())
            await self._executor.room()
