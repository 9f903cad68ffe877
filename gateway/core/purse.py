"""A transfer's purse: when its next chunk may go, by all the budgets that it draws on. Shared by the pump and by virtual time.

A day's bytes are granted a segment at a time, before its first chunk goes: with what is left of a day no segment is begun that
could not be finished, for a terminal keeps whole segments only. What a grant leaves over is given back at the segment's edge.
So a day's total is never exceeded, and the day's accounts are looked at once for each 128 KiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from gateway.core.budgets import Account, Bucket, Spent
from gateway.wire.messages import BLOCK_BYTES, SEGMENT_BYTES

#: MQTT's own part of a published chunk: type, remaining length, length of the topic.
PUBLISH_BYTES: Final = 6
#: The largest chunk with all that is published around it.
CHUNK_MAX_BYTES: Final = 16 * BLOCK_BYTES + 256
#: When a day's budget is spent, what is in flight may still arrive for so long (seconds).
DRAIN_S: Final = 60.0
_NEVER: Final = float("inf")


class Moving(Protocol):
    """What a purse must know of its transfer."""

    @property
    def held_bytes(self) -> int:
        """Bytes that the terminal holds."""
        ...

    @property
    def in_flight_bytes(self) -> int:
        """Bytes sent and neither acknowledged nor known lost."""
        ...

    @property
    def size_bytes(self) -> int:
        """Of the whole package."""
        ...


def cost_of(left_bytes: int) -> int:
    """What is granted so that the next segment of ``left_bytes`` can be finished: envelopes, and a chunk that goes twice."""
    segment = min(max(left_bytes, BLOCK_BYTES), SEGMENT_BYTES)
    return segment + segment // 8 + CHUNK_MAX_BYTES


class Purse:
    """See the module. Nothing goes out before ``fill``: an unknown budget is not an unlimited one."""

    __slots__ = ("_accounts", "_drain_until", "_good_until", "_grant_bytes", "_numbers", "_touched", "buckets", "spent")

    def __init__(self) -> None:
        self._accounts: Sequence[Account] | None = None
        self.buckets: tuple[Bucket, ...] = ()
        """The rates that it keeps to."""
        self._grant_bytes = 0
        self._numbers: tuple[int, ...] = ()
        """The days on which the grant was made, one for each account; none while there is no grant."""
        self._touched = False
        self._good_until = 0.0
        self._drain_until = _NEVER
        self.spent: Spent | None = None
        """Why nothing more goes out today; only after ``ask`` has returned infinity."""

    @property
    def filled(self) -> bool:
        """Whether its budgets are known."""
        return self._accounts is not None

    @property
    def draining(self) -> bool:
        """Whether only what is in flight is waited for: then every ack matters."""
        return self._drain_until < _NEVER

    def fill(self, accounts: Sequence[Account], buckets: Sequence[Bucket]) -> None:
        """Give it what it draws on: ``accounts`` for the days, ``buckets`` for the rates. Call it again when limits change."""
        self._accounts = accounts
        self.buckets = tuple(buckets)

    def ask(self, transfer: Moving, now: float) -> float:
        """When a chunk may go: not after ``now``, or the time to ask again. Infinity: not today, see ``spent``."""
        if self._grant_bytes < CHUNK_MAX_BYTES or now >= self._good_until:
            refusing = self._renew(transfer, now)
            if refusing is not None:
                return self._drain(refusing, transfer, now)
        if not self.buckets:
            return 0.0
        return max(bucket.even_at for bucket in self.buckets)

    def pay(self, size_bytes: int, now: float, *, at_edge: bool) -> bool:
        """So much was published, ``at_edge`` of a segment or of the package; whether more may go without asking."""
        self._grant_bytes -= size_bytes
        self._touched = True
        for bucket in self.buckets:
            bucket.take(size_bytes, now)
        if at_edge:
            self.settle(now)
        return self._grant_bytes >= CHUNK_MAX_BYTES

    def rest(self, now: float) -> None:
        """The transfer has nothing to send now, perhaps for hours: a grant that was not begun must not be kept from others."""
        if not self._touched:
            self.settle(now)

    def settle(self, now: float) -> None:
        """Give back what is left of the grant."""
        if self._numbers and self._accounts is not None:
            for account, number in zip(self._accounts, self._numbers, strict=True):
                account.day.give_back(self._grant_bytes, number, now)
        self._numbers = ()
        self._grant_bytes = 0

    def _renew(self, transfer: Moving, now: float) -> Account | None:
        """Take a new grant from all accounts; else the one that refuses, and none is granted anything."""
        self.settle(now)
        if self._accounts is None:
            raise ValueError("an empty purse was asked; fill it first")
        size_bytes = cost_of(transfer.size_bytes - transfer.held_bytes - transfer.in_flight_bytes)
        for place, account in enumerate(self._accounts):
            if not account.day.grant(size_bytes, now):
                for granted in self._accounts[:place]:
                    granted.day.give_back(size_bytes, granted.day.number, now)
                return account
        self._grant_bytes = size_bytes
        self._touched = False
        self._numbers = tuple(account.day.number for account in self._accounts)
        self._good_until = min((account.day.ends_at for account in self._accounts), default=_NEVER)
        self._drain_until = _NEVER
        self.spent = None
        return None

    def _drain(self, refusing: Account, transfer: Moving, now: float) -> float:
        """What is under way is paid for: let it arrive, and only then stop."""
        self._drain_until = min(self._drain_until, now + DRAIN_S)
        all_sent = transfer.held_bytes + transfer.in_flight_bytes >= transfer.size_bytes
        if now < self._drain_until and (transfer.in_flight_bytes or all_sent):
            return self._drain_until
        self.spent = refusing.spent()
        return _NEVER
