"""A connected link that hears nothing is found out, and forgiven when it hears again."""

from __future__ import annotations

import anyio

from gateway.engine.hearing import Hearing
from tests.unit.engine.line import Line


class Mute(Line):
    """A line whose far end keeps what it gets to itself, until the link changes."""

    def __init__(self) -> None:
        super().__init__()
        self.hears = False
        self.changed = anyio.Event()

    async def echo(self, timeout_s: float) -> bool:
        """Whether it came back."""
        await anyio.lowlevel.checkpoint()
        return self.hears and timeout_s > 0

    async def wait_change(self, *, generation: int, connected: bool) -> tuple[int, bool]:
        """When the test says so."""
        await self.changed.wait()
        self.generation = generation + 1
        self.changed = anyio.Event()
        return self.generation, connected


async def test_a_link_that_hears_nothing_is_deaf_until_it_hears() -> None:
    """As when the broker's rules deny the subscription."""
    line = Mute()
    hearing = Hearing(line, "control")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hearing.run)
        await anyio.wait_all_tasks_blocked()
        found = [hearing.deaf]
        line.hears = True
        line.changed.set()
        await anyio.wait_all_tasks_blocked()
        found.append(hearing.deaf)
        tasks.cancel_scope.cancel()

    assert found == [True, False]
