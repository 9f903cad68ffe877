"""Reports and results on their way: journalled before they are sent, repeated until the gateway's receipt.

Repeats come after 2 s, doubling to 60 s, and at once, in order, after each new control connection. Health reports are the
only ones that may be dropped unreceipted, and then the oldest, so that a long time offline does not fill the flash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from device_sim.board import Board
from gateway.wire.messages import Receipt

FIRST_REPEAT_S: Final = 2.0
LAST_REPEAT_S: Final = 60.0
MAX_HEALTH: Final = 8
_HEALTH: Final = "/h"


@dataclass(slots=True)
class _Entry:
    kind: str
    payload: bytes
    next_at: float
    interval_s: float = FIRST_REPEAT_S


class Outbox:
    """All unreceipted reports and results, in the order in which they were made."""

    __slots__ = ("_board", "_entries", "_up")

    def __init__(self, board: Board) -> None:
        self._board = board
        self._up = False
        self._entries: dict[str, _Entry] = {}
        for key in board.journal.keys("r/") + board.journal.keys("s/"):
            kind = "report" if key.startswith("r/") else "result"
            self._entries[key] = _Entry(kind, board.journal.blob(key), 0.0)

    def __len__(self) -> int:
        return len(self._entries)

    def add_report(self, upgrade: str, seq: int, payload: bytes, now: float, *, health: bool = False) -> None:
        """Keep and send a report."""
        if health:
            waiting = [key for key in self._entries if key.endswith(_HEALTH)]
            for key in waiting[: max(0, len(waiting) - MAX_HEALTH + 1)]:
                self._forget(key)
                self._board.count("health_dropped")
        self._add(f"r/{upgrade}/{seq}{_HEALTH if health else ''}", "report", payload, now)

    def add_result(self, order: str, payload: bytes, now: float) -> None:
        """Keep and send a result."""
        self._add(f"s/{order}", "result", payload, now)

    def on_receipt(self, receipt: Receipt) -> None:
        """Forget what is durable at the gateway."""
        for seq in receipt.seqs:
            key = f"r/{receipt.upgrade}/{seq}"
            self._forget(key)
            self._forget(key + _HEALTH)
        for order in receipt.orders:
            self._forget(f"s/{order}")

    def on_up(self, now: float) -> None:
        """A new control connection: send everything, in order."""
        self._up = True
        for entry in self._entries.values():
            self._board.publish_bytes(entry.kind, entry.payload)
            entry.interval_s = FIRST_REPEAT_S
            entry.next_at = now + entry.interval_s

    def on_down(self) -> None:
        """The control connection is gone."""
        self._up = False

    def on_time(self, now: float) -> None:
        """Repeat what is due."""
        if not self._up:
            return
        for entry in self._entries.values():
            if now >= entry.next_at:
                self._board.publish_bytes(entry.kind, entry.payload)
                entry.interval_s = min(LAST_REPEAT_S, entry.interval_s * 2)
                entry.next_at = now + entry.interval_s

    @property
    def deadline(self) -> float | None:
        """When the next repeat is due."""
        if not self._up or not self._entries:
            return None
        return min(entry.next_at for entry in self._entries.values())

    def _add(self, key: str, kind: str, payload: bytes, now: float) -> None:
        self._board.journal.set(key, payload)
        self._entries[key] = _Entry(kind, payload, now + FIRST_REPEAT_S)
        if self._up:
            self._board.publish_bytes(kind, payload)

    def _forget(self, key: str) -> None:
        if self._entries.pop(key, None) is not None:
            self._board.journal.drop(key)
