"""Whether the subscriptions of a link really deliver: a broker grants a filter that its rules deny, and then stays silent.

Asked after every connect, and again while the answer is no. Nothing waits for it but readiness: nobody should have to guess
why a connected gateway hears nothing.
"""

from __future__ import annotations

from typing import Final

import anyio
import structlog

from gateway.engine.ports import Link

log = structlog.get_logger()

#: How long the broker may take to bring our own message back (seconds).
ECHO_S: Final = 5.0
#: Between two questions while nothing comes back (seconds).
ASK_AGAIN_S: Final = 15.0


class Hearing:
    """Watches one link."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._name = name
        self.deaf = False
        """Connected, but nothing that we publish to ourselves comes back."""

    async def run(self) -> None:
        """Never returns."""
        while True:
            generation, connected = self._link.generation, self._link.connected
            if connected:
                self.deaf = not await self._link.echo(ECHO_S) and self._link.connected
                if self.deaf:
                    log.error("link_deaf", link=self._name)
            with anyio.move_on_after(ASK_AGAIN_S if self.deaf else None):
                await self._link.wait_change(generation=generation, connected=connected)
                self.deaf = False
