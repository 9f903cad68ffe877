"""A report is never refused: beyond a quota, those that only tell how it goes are counted, not kept (docs/reliability.md).

``sift`` stands between what ``reports`` makes of a report and the ledger. A terminal that repeats itself for ever costs a few
counters and one entry a minute. Reports that end an upgrade, that move it, or that decide how it may end, are always kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.core.effects import Append
from gateway.wire.codes import What

#: Reports about one upgrade that are kept although they moved nothing; a soak of two days reports its health 192 times.
KEPT_MAX: Final = 256
#: A count is in memory for no longer than this (seconds).
TELL_EVERY_S: Final = 60.0
#: What ends an upgrade, or says that it has ended: kept whatever has been kept before.
FINAL: Final = frozenset({What.DECLINED, What.REJECTED, What.FAILED, What.COMMITTED, What.ROLLED_BACK, What.CANCELLED})
_NEVER: Final = float("inf")

Note = Callable[[Mapping[str, int]], Append]
"""Makes the entry ``reports_shed`` from its evidence."""


@dataclass(slots=True)
class Quota:
    """What was kept and shed of the reports about one upgrade."""

    limit: int = KEPT_MAX
    kept: int = 0
    shed: int = 0
    told: int = 0
    """How many of ``shed`` the ledger knows of."""
    told_at: float = 0.0

    @property
    def due_at(self) -> float:
        """When the ledger must be told at the latest (Unix seconds; infinity: it knows)."""
        return self.told_at + TELL_EVERY_S if self.shed > self.told else _NEVER

    def sift(self, what: What, entries: list[Append], now: float, note: Note, *, decides: bool = False) -> list[Append]:
        """What the ledger gets for a report that came in as ``entries``; ``decides``: it may change how it ends."""
        if what in FINAL or any(entry.from_state != entry.to_state for entry in entries):
            return [*self._tell(now, note), *entries]
        if self.kept < self.limit or decides:
            self.kept += 1
            return [*self._tell(now, note), *entries]
        self.shed += 1
        return self.tell_due(now, note)

    def tell_due(self, now: float, note: Note) -> list[Append]:
        """An entry with the count, when it is time for one."""
        return self._tell(now, note) if now >= self.due_at else []

    def _tell(self, now: float, note: Note) -> list[Append]:
        count = self.shed - self.told
        if not count:
            return []
        self.told, self.told_at = self.shed, now
        return [note({"count": count, "total": self.shed, "kept": self.kept})]
