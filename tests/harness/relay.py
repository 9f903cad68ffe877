"""A line between clients and a server of the loopback that can be cut, frozen, left half-open, and made slow.

It listens on a port of its own and passes bytes on, in a thread with an event loop of its own. ``set`` changes what it does
from then on, for connections that are open and for new ones. A context manager; its end closes everything.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import anyio

T = TypeVar("T")

_READ_BYTES: Final = 16 * 1024
#: What a slow line carries, both ways together of one connection (bytes per second), and its delay.
SLOW_BPS: Final = 24_000
SLOW_S: Final = 0.25
_START_S: Final = 10.0


class Line(StrEnum):
    """What the line does."""

    OPEN = "open"
    SLOW = "slow"
    CUT = "cut"
    """Every connection is reset on both sides, and so is each new one."""
    FROZEN = "frozen"
    """Nothing passes and nothing breaks; what was said meanwhile arrives when it opens again."""
    HALF_OPEN = "half-open"
    """The server sees a reset; the client sees nothing, until it says something on the healed line and is reset."""


class _Pair:
    """One connection through the line."""

    __slots__ = ("client", "half_open", "server")

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.half_open = False

    def reset(self) -> None:
        """RST both ways."""
        for writer in (self.client, self.server):
            _reset(writer)


class Relay:
    """See the module. ``port`` is where clients connect."""

    host: Final = "127.0.0.1"

    def __init__(self, server_port: int) -> None:
        """Nothing listens before ``with``."""
        self._server_port = server_port
        self._mode = Line.OPEN
        self._changed: asyncio.Event = asyncio.Event()
        self._gone = asyncio.Event()
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def connections(self) -> int:
        """How many are open through it."""
        return len(self._pairs)

    def set(self, mode: Line) -> None:
        """Be so from now on."""
        self._call(self._set(mode))

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._call(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(_START_S)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, self.host, 0, backlog=1000)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._set(Line.CUT)
        with anyio.move_on_after(_START_S):
            while self._pairs:
                await self._gone.wait()

    async def _set(self, mode: Line) -> None:
        self._mode = mode
        for pair in list(self._pairs):
            if mode is Line.CUT:
                pair.reset()
            elif mode is Line.HALF_OPEN:
                pair.half_open = True
                _reset(pair.server)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until_passing(self) -> None:
        """Wait while nothing passes."""
        while self._mode in {Line.FROZEN, Line.HALF_OPEN}:
            await self._changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        await self._until_passing()
        try:
            if self._mode is Line.CUT:
                raise ConnectionResetError
            answers, server = await asyncio.open_connection(self.host, self._server_port)
        except OSError:
            _reset(client)
            return
        pair = _Pair(client, server)
        self._pairs.add(pair)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._pass, reader, server, pair)
                tasks.start_soon(self._pass, answers, client, pair)
        finally:
            pair.reset()
            self._pairs.discard(pair)
            self._gone.set()
            self._gone = asyncio.Event()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, pair: _Pair) -> None:
        """Bytes of one direction, until a side is gone; a half-open pair lives until its client speaks on a healed line."""
        with suppress(OSError):
            while data := await source.read(_READ_BYTES):
                await self._until_passing()
                if pair.half_open:
                    break
                if self._mode is Line.SLOW:
                    await asyncio.sleep(SLOW_S + len(data) / SLOW_BPS)
                sink.write(data)
                await sink.drain()
        if pair.half_open and sink is pair.client:
            return  # the server's end is gone, and the client does not know
        if not pair.half_open and not pair.client.transport.is_closing() and not pair.server.transport.is_closing():
            with suppress(OSError):  # an orderly end: what was said before it arrives
                sink.close()
                await sink.wait_closed()
        pair.reset()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once, with an RST instead of a FIN: nothing says goodbye on a line that is cut."""
    transport = writer.transport
    if not transport.is_closing():
        line: socket.socket = transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
