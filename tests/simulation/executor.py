"""The gateway's way out, as ``engine.executor`` goes it: one commit at a time, and nothing leaves before its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

from gateway.core.effects import CloseTransfer, Effect, OpenTransfer, Save, SendOrder, SendReceipt, SendWelcome
from gateway.core.terminal import Terminal
from gateway.errors import StoreError
from gateway.trust.orders import sign_order
from gateway.wire.codec import encode
from tests.simulation.props import ORDER_KEY

if TYPE_CHECKING:
    from tests.simulation.gateway import Gateway

#: As in ``engine.executor`` and ``engine.campaigns`` (seconds).
STORE_RETRY_S: Final = 1.0
LOOK_EVERY_S: Final = 1.0

_Item = tuple[Terminal, list[Effect]]
_Sent = SendOrder | SendReceipt | SendWelcome


class Executor:
    """See the module. It can be made to end its process at any of its commits."""

    def __init__(self, gateway: Gateway) -> None:
        self.dies_in: int | None = None
        """The process dies at the commit of this number from now on ..."""
        self.dies_after = False
        """... before it, or after it and before anything of it is sent."""
        self.sleeps_s = 0.0
        """Instead of dying, the process stops for so long."""
        self.on_sleep: Callable[[], None] = lambda: None
        self._gateway = gateway
        self._queue: list[_Item] = []
        self._committing = False

    @property
    def busy(self) -> bool:
        """Whether anything waits for its commit."""
        return bool(self._queue) or self._committing

    def submit(self, session: Terminal, effects: list[Effect]) -> None:
        """Queue what one ``handle`` returned."""
        if effects:
            self._queue.append((session, effects))
            if not self._committing:
                self._committing = True
                self._gateway.at(self._gateway.clock.now, self._begin)

    def _begin(self) -> None:
        queue, self._queue = self._queue, []
        items = [item for item in queue if self._gateway.sessions.get(item[0].id) is item[0]]
        took_s = self._gateway.store.commit_s * self._gateway.clock.rng.uniform(0.5, 1.5)
        self._gateway.at(self._gateway.clock.now + took_s, partial(self._commit, items))

    def _commit(self, items: list[_Item]) -> None:
        saves: list[Save] = []
        sends: list[_Sent] = []
        transfers: list[tuple[Terminal, bool]] = []
        for session, effects in items:
            for effect in effects:
                if isinstance(effect, SendOrder | SendReceipt | SendWelcome):
                    sends.append(effect)
                elif isinstance(effect, OpenTransfer | CloseTransfer):
                    transfers.append((session, isinstance(effect, OpenTransfer)))
                else:
                    saves.append(effect)
        if self._dies(after=False):
            return
        wait_s = 0.0
        if saves and not self._save(items, saves):
            wait_s = STORE_RETRY_S
        elif self._dies(after=True):
            return
        else:
            self._gateway.at(self._gateway.clock.now, partial(self._let_out, transfers, sends))
            if saves:
                self._gateway.campaigns.look(LOOK_EVERY_S * self._gateway.clock.rng.random())
        self._gateway.at(self._gateway.clock.now + wait_s, self._go_on)

    def _go_on(self) -> None:
        self._committing = bool(self._queue)
        if self._committing:
            self._begin()

    def _dies(self, *, after: bool) -> bool:
        """Whether it was to die, or to stop for long, at this point of this commit."""
        if self.dies_in is None or self.dies_after is not after:
            return False
        self.dies_in -= 1
        if self.dies_in > 0:
            return False
        self.dies_in = None
        if self.sleeps_s:
            self._gateway.pause(self.sleeps_s)
            self.on_sleep()
            return False
        self._gateway.kill()
        return True

    def _save(self, items: list[_Item], saves: list[Save]) -> bool:
        try:
            self._gateway.store.commit(self._gateway.number, saves)
        except StoreError as exc:
            self._gateway.clock.note(self._gateway.name, "commit fails", exc.message)
            for session, _ in items:
                self._gateway.forget(session.id)
            return False
        return True

    def _let_out(self, transfers: list[tuple[Terminal, bool]], sends: list[_Sent]) -> None:
        for session, is_open in transfers:
            self._gateway.pump.turn(session, is_open=is_open)
        for send in sends:
            self._publish(send)

    def _publish(self, send: _Sent) -> None:
        clock, name = self._gateway.clock, self._gateway.name
        match send:
            case SendOrder(order=order):
                terminal, kind, payload = order.terminal, "order", encode(sign_order(order, ORDER_KEY))
                clock.note(name, f"orders {order.kind}", f"{terminal} {order.id} #{order.counter}")
            case SendWelcome(terminal=terminal, welcome=welcome):
                kind, payload = "welcome", encode(welcome)
            case SendReceipt(terminal=terminal, receipt=receipt):
                kind, payload = "receipt", encode(receipt)
                clock.note(name, "receipts", f"{terminal} {receipt.upgrade} {receipt.seqs} {receipt.orders}")
            case _:
                assert_never(send)
        self._gateway.judge.sent(self._gateway, send)
        if self._gateway.control_up:
            self._gateway.broker.down(terminal, kind, payload, bulk=False)
