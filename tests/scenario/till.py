"""Budgets in virtual time: one for each terminal, kept as the pump keeps it, and a record of all that was sent."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.budgets import NO_LIMIT, Account, Day, Limit, Scope, Spent
from gateway.core.purse import PUBLISH_BYTES, Purse
from gateway.core.transfer.window import Piece, Transfer
from gateway.wire.messages import SEGMENT_BYTES


@dataclass(slots=True)
class Till:
    """See the module. Accounts outlive transfers and deaths of the gateway, as they do in the store."""

    limit: Limit = NO_LIMIT
    zone: str = "Asia/Shanghai"
    sent: list[tuple[float, str, int]] = field(default_factory=list)
    """Time, terminal and bytes as published."""
    _accounts: dict[str, Account] = field(default_factory=dict)
    _purses: dict[str, tuple[Transfer, Purse]] = field(default_factory=dict)

    def next_chunk(self, name: str, transfer: Transfer, now: float) -> Piece | None:
        """What ``transfer`` sends next, as far as the budget goes."""
        purse = self._purse(name, transfer, now)
        until = purse.ask(transfer, now)
        if until > now:
            transfer.hold_back(until, now)
            return None
        piece = transfer.next_chunk(now)
        if piece is None:
            purse.rest(now)
        else:
            size_bytes = piece.length_bytes + len(f"tg1/dn/{name}.b/chunk") + PUBLISH_BYTES + 30
            end = piece.offset_bytes + piece.length_bytes
            self.sent.append((now, name, size_bytes))
            purse.pay(size_bytes, now, at_edge=end % SEGMENT_BYTES == 0 or end == transfer.size_bytes)
        return piece

    def spent(self, name: str) -> Spent | None:
        """Why its transfer sends nothing more today."""
        return self._purses[name][1].spent if name in self._purses else None

    def _purse(self, name: str, transfer: Transfer, now: float) -> Purse:
        known = self._purses.get(name)
        if known is not None and known[0] is transfer:
            return known[1]
        if known is not None:
            known[1].settle(now)
        if name not in self._accounts:
            day = Day(self.limit.bytes_per_day, self.zone, now)
            self._accounts[name] = Account(Scope.TERMINAL, name, self.limit, day)
        account, purse = self._accounts[name], Purse()
        purse.fill([account], [account.bucket] if account.bucket is not None else [])
        self._purses[name] = (transfer, purse)
        return purse
