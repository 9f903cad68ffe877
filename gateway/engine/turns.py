"""Whose turn it is: a round of those who may send, and those who sleep until their budget is even, the longest unserved first.

No clock, no tasks: the pump says what time it is. Memory is bounded by the names that were let in and not dropped again.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Final

_NEVER: Final = float("inf")


class Turns:
    """See the module."""

    def __init__(self) -> None:
        self._ready: dict[str, None] = {}
        self._asleep: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._served: dict[str, int] = {}
        """A number for each name; who has the lowest was served the longest ago."""
        self._number = count()

    def __bool__(self) -> bool:
        return bool(self._ready)

    @property
    def next_at(self) -> float:
        """When the next sleeper is due (infinity: none sleeps)."""
        while self._heap and self._asleep.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # woken or dropped meanwhile
        return self._heap[0][0] if self._heap else _NEVER

    def wake(self, name: str) -> bool:
        """Let ``name`` into the round, unless it sleeps; whether it was not in it."""
        if name in self._ready or name in self._asleep:
            return False
        self._ready[name] = None
        return True

    def rouse(self, name: str) -> bool:
        """Let ``name`` into the round even if it sleeps."""
        self._asleep.pop(name, None)
        return self.wake(name)

    def sleep(self, name: str, until: float) -> None:
        """Keep ``name`` out of the round until then."""
        self._ready.pop(name, None)
        if until == _NEVER:
            self._asleep.pop(name, None)
            return
        self._asleep[name] = until
        heapq.heappush(self._heap, (until, name))
        if len(self._heap) > 64 + 4 * len(self._asleep):  # mostly entries that were overtaken
            self._heap = [(at, one) for one, at in self._asleep.items()]
            heapq.heapify(self._heap)

    def release(self, now: float) -> None:
        """Let all who have slept long enough into the round; who has waited longest is the first of them."""
        if self.next_at > now:
            return
        due: list[str] = []
        while self.next_at <= now:
            _, name = heapq.heappop(self._heap)
            del self._asleep[name]
            due.append(name)
        due.sort(key=lambda name: self._served.get(name, -1))
        for name in due:
            self._ready[name] = None

    def take(self) -> str:
        """The next in the round, which leaves it; ``KeyError`` when it is empty."""
        try:
            name = next(iter(self._ready))
        except StopIteration:
            raise KeyError("nobody is in the round") from None
        del self._ready[name]
        return name

    def served(self, name: str) -> None:
        """It has sent something: others go first from now on."""
        self._served[name] = next(self._number)

    def drop(self, name: str) -> None:
        """Forget ``name``."""
        self._ready.pop(name, None)
        self._asleep.pop(name, None)
        self._served.pop(name, None)
