"""Server-sent events: the ledger as a stream that a client can leave and take up again, at a bounded cost to the gateway.

A stream holds one page of entries and nothing else: what a slow client has not taken yet stays in the store. A client that
takes nothing for ``SEND_TIMEOUT_S`` is cut off, and comes back with ``Last-Event-ID``. ``EventStreams`` bounds how many are
open and ends all of them when the gateway shuts down.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Final

import anyio
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

SEND_TIMEOUT_S: Final = 30.0
RECONNECT_MS: Final = 2000
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStreams:
    """How many streams are open, and the end of all of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._scopes: set[anyio.CancelScope] = set()
        self._open = 0
        self._closed = False

    @property
    def count(self) -> int:
        """Streams open now."""
        return self._open

    def claim(self) -> None:
        """Take a place for one stream; 503 when all are taken. ``running`` gives it back."""
        if self._closed or self._open >= self._limit:
            raise HTTPException(503, f"{self._open} event streams are open, the most allowed; close one or try later")
        self._open += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """The block is a claimed stream: ``close`` ends it, and its end frees the place."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                if self._closed:
                    scope.cancel()
                yield
            finally:
                self._scopes.discard(scope)
                self._open -= 1

    def close(self) -> None:
        """End every stream, and open no more."""
        self._closed = True
        for scope in self._scopes:
            scope.cancel()


class EventStream(Response):
    """One stream: the pieces of ``events`` as they come, until they end, the client leaves, or ``streams`` closes.

    Making it takes a place (503 when there is none), so make it last and hand it over.
    """

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncGenerator[bytes, None], streams: EventStreams, *, send_timeout_s: float = SEND_TIMEOUT_S
    ) -> None:
        streams.claim()
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._events = events
        self._streams = streams
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; returns when it has ended, whoever ended it."""
        del scope
        with self._streams.running():
            async with anyio.create_task_group() as group:
                group.start_soon(_until_gone, receive, group.cancel_scope)
                await self._send_all(send)
                group.cancel_scope.cancel()
        with anyio.move_on_after(self._send_timeout_s):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, send: Send) -> None:
        """Give up as soon as one piece does not go out in time."""
        start: Message = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": b"retry: %d\n\n" % RECONNECT_MS, "more_body": True})
        async with aclosing(self._events) as pieces:
            async for piece in pieces:
                with anyio.move_on_after(self._send_timeout_s) as scope:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if scope.cancelled_caught:
                    return


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
