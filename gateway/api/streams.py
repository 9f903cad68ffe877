"""Answers without a known length: the ledger as server-sent events that a client can leave and take up again, or as a download.

A stream holds one page of entries and nothing else: what a slow client has not taken yet stays in the store. A client that
takes nothing for ``SEND_TIMEOUT_S`` is cut off, and comes back with ``Last-Event-ID``. ``EventStreams`` bounds how many are
open, of either kind, and ends all of them when the gateway shuts down.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Final

import anyio
import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.errors import StoreError

log = structlog.get_logger()

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
            raise HTTPException(
                503, f"{self._open} event streams and downloads are open, the most allowed; close one or try later"
            )
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


class _Stream(Response):
    """An answer of unknown length, in pieces, until they end, the client leaves, or ``streams`` closes.

    Making it takes a place (503 when there is none), so make it last and hand it over.
    """

    opening = b""
    ends_anywhere: bool
    """Whether a client need not know that there would have been more."""

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        streams: EventStreams,
        *,
        headers: Mapping[str, str] = _HEADERS,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        streams.claim()
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._pieces = pieces
        self._streams = streams
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; returns when it has ended, whoever ended it."""
        del scope
        whole = False
        with self._streams.running():
            async with anyio.create_task_group() as group:
                group.start_soon(_until_gone, receive, group.cancel_scope)
                whole = await self._send_all(send)
                group.cancel_scope.cancel()
        if whole or self.ends_anywhere:
            with anyio.move_on_after(self._send_timeout_s):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, send: Send) -> bool:
        """Give up as soon as one piece does not go out in time; whether all went out."""
        start: Message = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        if self.opening:
            await send({"type": "http.response.body", "body": self.opening, "more_body": True})
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                with anyio.move_on_after(self._send_timeout_s) as scope:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if scope.cancelled_caught:
                    return False
        return True


class EventStream(_Stream):
    """Server-sent events. A client that is cut off comes back and goes on."""

    media_type = "text/event-stream"
    opening = b"retry: %d\n\n" % RECONNECT_MS
    ends_anywhere = True


class Download(_Stream):
    """A file that is made on the way. One that was cut short ends without an end, so that no client takes it for whole."""

    ends_anywhere = False

    async def _send_all(self, send: Send) -> bool:
        try:
            return await super()._send_all(send)
        except StoreError as exc:
            log.warning("download_cut", reason=exc.message, code=exc.code)
            return False


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
