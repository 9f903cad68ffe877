"""Runs the gateway or the simulator, and kills it with SIGKILL at the one point that is armed: between two durable steps.

``python -m scripts._chaos.gateway serve`` and ``... simulator run`` are the product's own commands in a process whose functions
around each durable step are wrapped here, from outside: no test hook lies in the product's path, and a wrapped function that is
renamed makes this program fail at its start. The point stands in a file (``ARM``), looked at every few milliseconds. Reaching
it removes the file, so that whoever armed it knows, and the process is dead before the wrapped function returns.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any, Final

#: Environment variable with the path of the file that holds a point, as ``place:step``.
ARM: Final = "CHAOS_POINT_FILE"
_LOOK_S: Final = 0.02

Words = Callable[..., Collection[str]]
"""The steps that a call takes, from its arguments."""


class Trap:
    """The armed point of this process."""

    def __init__(self) -> None:
        self._file = Path(os.environ[ARM])
        self._armed = ("", "")
        self._look()
        threading.Thread(target=self._watch, name="trap", daemon=True).start()

    def spring(self, place: str, words: Collection[str]) -> None:
        """Die here if this is the point."""
        if self._armed[0] == place and self._armed[1] in words:
            self._file.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: object, name: str, words: Words, *, before: str = "", after: str = "") -> None:
        """Wrap ``owner.name`` so that it may die before it begins or after it has ended."""
        inner = getattr(owner, name)

        @functools.wraps(inner)
        def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - stands for any function
            found = words(*args, **kwargs)
            self.spring(before, found)
            answer = inner(*args, **kwargs)
            if isinstance(answer, Awaitable):
                return self._awaited(answer, after, found)
            self.spring(after, found)
            return answer

        setattr(owner, name, wrapped)

    async def _awaited(self, answer: Awaitable[Any], after: str, found: Collection[str]) -> Any:  # noqa: ANN401 - as above
        result = await answer
        self.spring(after, found)
        return result

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            self._look()

    def _look(self) -> None:
        try:
            place, _, step = self._file.read_text().partition(":")
        except OSError:
            place, step = "", ""
        self._armed = (place, step)
