"""Orders that are not of an upgrade: reboot, inspect, lock, unlock, message, params.set; each answered by a result.

A reboot is carried out exactly once: its id is journalled before the terminal goes down, and its result is made after it is
up.
"""

from __future__ import annotations

from device_sim.board import Board
from device_sim.orders import OrderBook
from device_sim.proving import Proving
from gateway.wire.codes import Code, OrderKind, ResultStatus
from gateway.wire.messages import Order, Plain


class Commands:
    """Carries out what it can and refuses the rest."""

    __slots__ = ("_board", "_book", "_proving")

    def __init__(self, board: Board, book: OrderBook, proving: Proving) -> None:
        self._board = board
        self._book = book
        self._proving = proving

    def start(self, now: float, boot_s: float) -> None:
        """After a boot: answer the order that asked for it."""
        waiting = self._board.journal.get("rebooting")
        if isinstance(waiting, str):
            self._board.journal.drop("rebooting")
            self._book.result(waiting, ResultStatus.DONE, now, data={"boot_s": round(boot_s, 3)})

    def carry_out(self, order: Order, now: float, *, busy: bool) -> None:
        """One order; ``busy`` while the terminal installs or proves a version."""
        done: dict[str, Plain] = {}
        match order.kind:
            case OrderKind.REBOOT if not busy:
                self._board.journal.set("rebooting", order.id)
                self.on_time()
                return
            case OrderKind.REBOOT:
                self._book.result(order.id, ResultStatus.REFUSED, now, code=Code.BUSY)
                return
            case OrderKind.INSPECT:
                done = {**self._proving.health(now), "events": dict(self._board.tally.events)}
            case OrderKind.LOCK | OrderKind.UNLOCK:
                self._lock(now, locked=order.kind is OrderKind.LOCK)
            case OrderKind.MESSAGE:
                done = {"shown": True}
            case OrderKind.PARAMS_SET:
                self._set_parameters(order)
            case _:
                self._book.result(order.id, ResultStatus.REFUSED, now, code=Code.KIND_UNSUPPORTED)
                return
        self._book.result(order.id, ResultStatus.DONE, now, data=done)

    def on_time(self) -> None:
        """Reboot as soon as no payment is under way."""
        if self._board.journal.get("rebooting") is not None and not self._board.shop.in_transaction:
            self._board.reboot_wanted = "order"

    def _lock(self, now: float, *, locked: bool) -> None:
        """No payments, or payments again; holds over reboots."""
        self._board.journal.set("locked", locked)
        self._board.shop.locked = locked
        if not locked and self._board.shop.in_service:
            self._board.shop.serve(now)

    def _set_parameters(self, order: Order) -> None:
        found, values = self._board.journal.get("params"), order.args.get("values")
        if isinstance(values, dict):
            merged: dict[str, Plain] = {**(found if isinstance(found, dict) else {}), **values}
            self._board.journal.set("params", merged)
