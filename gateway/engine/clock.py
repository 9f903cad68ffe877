"""The engine's clock: Unix seconds that never step back while the process lives, for deadlines, stamps and the ledger alike."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Unix seconds; never smaller than an earlier answer."""
        ...


class SystemClock:
    """Wall time at the start plus monotonic time since: a step of the machine's clock moves neither deadlines nor stamps."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """See ``Clock``."""
        return self._offset + time.monotonic()
