"""The orders under way to one terminal: which is due, how often it went out, and when it goes out again.

The order of the present upgrade follows from its state and is repeated with back-off until a report answers it; orders outside
any upgrade are repeated until their result or their expiry. Every sending takes a fresh counter under the same order id: the
terminal executes an id once and never accepts a counter twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.core.effects import Effect, SaveOrder, SendOrder
from gateway.core.upgrade import Upgrade
from gateway.wire.codes import Code, OrderKind
from gateway.wire.messages import Order, PlainMap

#: Longest wait before an order is repeated (seconds).
RESEND_MAX_S: Final = 300.0
#: An offer is large, and a merchant may think about it for hours.
OFFER_RESEND_MAX_S: Final = 3600.0
#: Validity of one sending of an order, either side of now (milliseconds).
ORDER_EARLY_MS: Final = 300_000
ORDER_LATE_MS: Final = 3_600_000
#: Ended orders remembered until their rows have been written; a terminal has few at a time.
CLOSED_KEPT: Final = 64
_NEVER: Final = float("inf")


@dataclass(slots=True)
class OpenOrder:
    """An order outside any upgrade that has no result yet."""

    id: str
    kind: OrderKind
    args: PlainMap
    expires_at: float
    tries: int = 0
    due_at: float = 0.0


@dataclass(slots=True)
class Outgoing:
    """See the module. It belongs to one ``terminal.Terminal``, which asks it what is due after every event."""

    terminal: str
    shard_epoch: int
    resend_min_s: float
    counter: int = 0
    """Highest order counter ever issued or seen."""
    orders: dict[str, OpenOrder] = field(default_factory=dict)

    _closed: deque[str] = field(default_factory=lambda: deque(maxlen=CLOSED_KEPT))

    # The order of the present upgrade.
    _step: tuple[str, OrderKind | None] = ("", None)
    _tries: int = 0
    _due_at: float = _NEVER

    def send_again(self) -> None:
        """A new session of the terminal: what went to the old one may be lost, so all that is due goes out at once."""
        self._due_at = 0.0
        for order in self.orders.values():
            order.due_at = 0.0

    def put_off(self, now: float) -> None:
        """The terminal shows that it has the present order."""
        self._due_at = now + RESEND_MAX_S

    def upgrade_order(
        self, upgrade: Upgrade | None, now: float, args: Callable[[Upgrade, OrderKind], PlainMap], ask: Callable[[], Effect]
    ) -> list[Effect]:
        """What the present upgrade calls for now: its order, or a hello that must prove it."""
        kind = upgrade.due_order(now) if upgrade is not None else None
        if upgrade is None or (kind is None and not upgrade.wants_proof):
            self._step, self._tries, self._due_at = ("", None), 0, _NEVER
            return []
        if self._step != (upgrade.order, kind):
            self._step, self._tries, self._due_at = (upgrade.order, kind), 0, now
        if now < self._due_at:
            return []

        self._tries += 1
        most_s = OFFER_RESEND_MAX_S if kind is OrderKind.UPGRADE_OFFER else RESEND_MAX_S
        self._due_at = now + self._backoff_s(self._tries, most_s)
        if kind is None:
            return [ask()]
        self.counter += 1
        if kind is OrderKind.UPGRADE_TRANSFER and upgrade.transfer == 0:
            upgrade.transfer = self.counter
        upgrade.sent = (upgrade.order, kind.value, self._tries, now, self._due_at)
        return [self._order(upgrade.order, kind, args(upgrade, kind), now, _NEVER)]

    def other_orders(self, now: float) -> list[Effect]:
        """The orders outside the upgrade that are due now."""
        out: list[Effect] = []
        for order in self.orders.values():
            if now < order.due_at:
                continue
            self.counter += 1
            order.tries += 1
            order.due_at = now + self._backoff_s(order.tries, RESEND_MAX_S)
            if order.tries == 1:
                out.append(self._moved(order, "sent", Code.OK, now))
            out.append(self._order(order.id, order.kind, order.args, now, order.expires_at))
        return out

    def take(self, order: OpenOrder) -> None:
        """Begin with a stored order, unless it is known or has just ended: then its row was read before its end was kept."""
        if order.id not in self._closed:
            self.orders.setdefault(order.id, order)

    def close(self, order: str) -> OpenOrder | None:
        """An order has ended; returns it if it was open here."""
        found = self.orders.pop(order, None)
        if found is not None:
            self._closed.append(order)
        return found

    def expired(self, now: float) -> list[Effect]:
        """Give up the orders whose time is over."""
        over = [order for order in self.orders.values() if now >= order.expires_at]
        for order in over:
            self.close(order.id)
        return [self._moved(order, "expired", Code.ORDER_EXPIRED, now) for order in over]

    def deadline(self, upgrade: Upgrade | None, *, online: bool, undisturbed: bool) -> float:
        """When something here is due next (infinity: never)."""
        at = min((order.expires_at for order in self.orders.values()), default=_NEVER)
        if not online:
            return at
        if upgrade is not None:
            at = min(at, self._due_at, max(upgrade.order_due_at(), self._due_at if self._step[0] == upgrade.order else 0.0))
        if not undisturbed:
            at = min(at, min((order.due_at for order in self.orders.values()), default=_NEVER))
        return at

    def _order(self, order: str, kind: OrderKind, args: PlainMap, now: float, expires_at: float) -> SendOrder:
        now_ms = int(now * 1000)
        late_ms = now_ms + ORDER_LATE_MS
        return SendOrder(
            order=Order(
                id=order,
                counter=self.counter,
                shard_epoch=self.shard_epoch,
                terminal=self.terminal,
                kind=kind,
                args=args,
                not_before_ms=now_ms - ORDER_EARLY_MS,
                not_after_ms=late_ms if expires_at == _NEVER else min(late_ms, int(expires_at * 1000)),
            )
        )

    def _moved(self, order: OpenOrder, status: str, code: Code, now: float) -> SaveOrder:
        return SaveOrder(order=order.id, terminal=self.terminal, status=status, code=code.value, at_us=int(now * 1e6))

    def _backoff_s(self, tries: int, most_s: float) -> float:
        return min(self.resend_min_s * 2.0 ** min(tries - 1, 16), most_s)
