"""How long the silence of terminals proves nothing, because it may be our own: what they said was lost or could not come.

Deadlines of upgrades run on silence. When the broker or the store was away, or an inbox was full, a terminal may have spoken in
vain; it repeats itself within a minute, and is back on the broker within five. Until then no deadline costs it an attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from gateway.engine.clock import Clock
from gateway.engine.ports import Link

#: The longest wait of a terminal before it connects again, and before it repeats a report (docs/protocol.md 2.3 and 8).
PATIENCE_S: Final = 300.0 + 60.0


class Patience:
    """See the module. ``until`` is asked before deadlines are judged, and looks at what has happened since."""

    def __init__(self, links: tuple[Link, ...], clock: Clock, behind: Callable[[], bool], counters: Counter[str]) -> None:
        """While ``behind`` the store, no chunk is sent either."""
        self._links = links
        self._behind = behind
        self._clock = clock
        self._counters = counters
        self._seen: tuple[int, ...] = ()
        self._until = 0.0

    def until(self) -> float:
        """Silence before this time (Unix seconds) is no failure of a terminal's."""
        seen = (
            self._counters["commits_failed"],
            *(link.generation for link in self._links),
            *(link.counters.get("dropped_inbox_full", 0) for link in self._links),
        )
        if seen != self._seen or self._behind() or not all(link.connected for link in self._links):
            self._seen = seen
            self._until = self._clock.now() + PATIENCE_S
        return self._until
