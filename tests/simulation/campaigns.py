"""The gateway's campaigns and orders, as ``engine.campaigns`` and ``engine.orders`` see to them: by what is stored."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.core.events import End, Ordered, Start
from gateway.core.states import REVOCABLE, UpgradeState
from gateway.errors import StoreError
from gateway.wire.codes import Code
from tests.simulation.executor import LOOK_EVERY_S, STORE_RETRY_S
from tests.simulation.store import ENDED

if TYPE_CHECKING:
    from tests.simulation.gateway import Gateway

_NEVER: Final = float("inf")


class Campaigns:
    """See the module."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._look_at = _NEVER

    def look(self, in_s: float = 0.0) -> None:
        """Look at what is stored, soon."""
        at = self._gateway.clock.now + in_s
        if at < self._look_at:
            self._look_at = at
            self._gateway.at(at, partial(self._look, at))

    def _look(self, at: float) -> None:
        if at != self._look_at:
            return
        self._look_at = _NEVER
        if self._gateway.executor.busy:
            self.look(0.05)  # the rows must show what was decided last time
            return
        try:
            self._gateway.store.read()
            for upgrade in tuple(self._gateway.store.upgrades):
                self._look_at_one(upgrade)
            for order in tuple(self._gateway.store.orders.values()):
                if order.status not in ENDED:
                    self._gateway.apply(
                        self._gateway.load(order.terminal), Ordered(order.id, order.kind, order.expires_at, order.args)
                    )
        except StoreError:
            self.look(STORE_RETRY_S)

    def _look_at_one(self, upgrade: str) -> None:
        row = self._gateway.store.upgrades[upgrade]
        if row.campaign in self._gateway.store.aborted:
            session = self._gateway.take_upgrade(upgrade, row.terminal) if row.state in REVOCABLE else None
            if session is not None:
                self._gateway.apply(session, End(Code.CANCELLED_BY_OPERATOR, "operator"))
            return
        if row.state is UpgradeState.SCHEDULED:
            due_s = row.due_us / 1e6 - self._gateway.now
            if self._gateway.now >= self._gateway.release(upgrade).plan.ends_at:
                session = self._gateway.take_upgrade(upgrade, row.terminal)
                if session is not None:
                    self._gateway.apply(session, End(Code.CAMPAIGN_ENDED, "campaign"))
            elif due_s > 0:
                self.look(due_s + 0.01)
            elif self._gateway.store.terminals[row.terminal].online:
                session = self._gateway.take_upgrade(upgrade, row.terminal)
                if session is not None and session.awaits_hello:
                    self.look(LOOK_EVERY_S)
                elif session is not None:
                    self._gateway.apply(session, Start())
            else:
                self.look(max(1.0, self._gateway.release(upgrade).plan.ends_at - self._gateway.now))
