"""A transfer over a terminal's only connection (docs/protocol.md 6.8): chunks come, and acks go, between orders and reports.

Nothing is opened or closed: a transfer goes on whenever the control connection is up. All acks of one control connection count
on, whatever transfers it carries, under the connection's own epoch. A payment brakes by credit alone, since orders come by the
socket that other terminals stop reading. ``Firmware`` takes this in place of ``Transfer`` where the options say so.
"""

from __future__ import annotations

from typing import ClassVar

from device_sim.acks import AckClock
from device_sim.board import Board
from device_sim.dossier import Dossier
from device_sim.transfer import Bulk, Transfer


class SingleTransfer(Transfer):
    """``bulk`` is ``UP`` while a transfer is open and the control connection is there."""

    __slots__ = ("_line",)

    apart: ClassVar[bool] = False

    def __init__(self, board: Board, dossier: Dossier) -> None:
        super().__init__(board, dossier)
        self._line: AckClock | None = None
        """Acks of the present control connection; ``None`` while there is none."""

    def begin(self, transfer: int, size_bytes: int, sha256: bytes, now: float) -> None:
        """As ``Transfer.begin``; the connection is there, an order came by it."""
        super().begin(transfer, size_bytes, sha256, now)
        self._go_on(now)

    def on_line_up(self, epoch: int, now: float) -> None:
        """The control connection of ``epoch`` is up, and the hello is said."""
        self._line = AckClock(epoch, now)
        self._go_on(now)

    def on_line_down(self, now: float) -> None:
        """It is gone; what is held stays."""
        self._line = self._acks = None
        if self.bulk is Bulk.UP:
            self.bulk = Bulk.WAITING
            self._open_at = now

    def lose(self, now: float) -> None:
        """Coverage is gone."""
        self.on_line_down(now)

    def stop(self, *, abort: bool = False) -> None:
        """Forget what was not verified; the connection stays."""
        self.bulk = Bulk.CLOSED
        super().stop(abort=abort)

    def deadline(self, *, covered: bool) -> float | None:
        """As ``Transfer.deadline``; there is nothing to connect."""
        return super().deadline(covered=covered and self.bulk is not Bulk.WAITING)

    def on_time(self, now: float, *, covered: bool) -> None:
        """As ``Transfer.on_time``; there is nothing to connect."""
        super().on_time(now, covered=covered and self.bulk is not Bulk.WAITING)

    def _go_on(self, now: float) -> None:
        if self.bulk is Bulk.WAITING and self._line is not None:
            self.bulk = Bulk.UP
            self._acks = self._line
            if self._brake.on:
                self._brake.renew(now)
            self._ack(now)
