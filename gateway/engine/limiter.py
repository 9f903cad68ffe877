"""Stands before the inboxes of the link: a terminal that sends too much loses its own messages, and nobody else's.

Called by the link for every message, before it is kept. Counts what it refuses as ``limited:<kind>`` and names a culprit in the
log now and then.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import structlog

from gateway.core.limits import Limits
from gateway.engine.clock import Clock

log = structlog.get_logger()

#: Between two lines of the log about terminals that send too much (seconds).
SAY_EVERY_S: Final = 10.0


class Limiter:
    """See the module."""

    def __init__(self, limits: Limits, clock: Clock, counters: Counter[str]) -> None:
        self._limits = limits
        self._clock = clock
        self._counters = counters
        self._say_at = 0.0
        self._unsaid = 0

    def admit(self, topic: str) -> bool:
        """Whether a message on this topic may come in."""
        now = self._clock.now()
        if self._limits.admit(topic, now):
            return True
        self._counters[f"limited:{topic.rpartition('/')[2]}"] += 1
        self._unsaid += 1
        if now >= self._say_at:
            self._say_at = now + SAY_EVERY_S
            log.warning("terminal_limited", topic=topic[:120], dropped=self._unsaid)
            self._unsaid = 0
        return False
