"""Two ways to fetch a package that others use, over the same bearers: streams by request, and a plain download.

*Stream*: as AWS IoT does it, the client asks over MQTT for 128 KiB, gets it in blocks, and asks for the next when it has them
all. *Download*: HTTP/1.1 over TCP, one response without end. Neither knows of payments and neither brakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass
from typing import Final, Protocol, cast

import anyio
import anyio.abc

from device_sim.mqtt import Connection, Login
from device_sim.pipe import Pipe
from device_sim.radio import Radio
from gateway.wire.topics import down, down_filter, up

REQUEST_BYTES: Final = 128 * 1024
BLOCK_BYTES: Final = 4 * 1024
AHEAD_BYTES: Final = 64 * 1024
_BLOCK: Final = secrets.token_bytes(BLOCK_BYTES)
_NEVER_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """What a receiver has counted since it began."""

    wire_bytes: int
    """Read from the connection."""
    received_bytes: int
    """Of the package, again and again received ones too."""
    useful_bytes: int


class Receiver(Protocol):
    """Whoever receives."""

    def meters(self) -> Meters:
        """Its counts now."""
        ...


class Rival(Receiver, Protocol):
    """One that runs by itself."""

    async def run(self, host: str, port: int) -> None:
        """Receive until cancelled."""


class Stream:
    """One client: a bulk login on the terminal's lanes; blocks are counted, since the broker's queue holds 128 KiB."""

    def __init__(self, radio: Radio, name: str, password: str) -> None:
        self._name = name
        self._radio = radio
        self._password = password.encode()
        self._useful_bytes = 0
        self._missing_bytes = 0
        self._connection: Connection | None = None

    async def run(self, host: str, port: int) -> None:
        """Connect, and receive until cancelled."""
        loop = asyncio.get_running_loop()
        login = Login(
            client_id=f"{self._name}.b",
            username=self._name,
            password=self._password,
            topic_filter=down_filter(self._name, bulk=True),
            clean=True,
        )
        connection = self._connection = Connection(self, login, loop, self._radio.down, self._radio.up)
        await loop.create_connection(lambda: connection, host, port)
        while True:
            await anyio.sleep(1.0)
            connection.tick(loop.time())

    def meters(self) -> Meters:
        """Its counts now."""
        wire = self._connection.bytes_in if self._connection is not None else 0
        return Meters(wire_bytes=wire, received_bytes=self._useful_bytes, useful_bytes=self._useful_bytes)

    def connection_ready(self, connection: Connection) -> None:
        """Ask for the first 128 KiB."""
        self._ask(connection)

    def connection_message(self, connection: Connection, topic: str, payload: bytes) -> None:
        """A block."""
        del topic
        self._useful_bytes += len(payload)
        self._missing_bytes -= len(payload)
        if self._missing_bytes <= 0:
            self._ask(connection)

    def connection_flush(self, connection: Connection) -> None:
        """Nothing waits for it."""

    def connection_lost(self, connection: Connection, reason: str, *, clean: bool) -> None:
        """Must not happen: the benchmark cuts nothing."""
        del connection, clean
        raise RuntimeError(f"{self._name}: {reason}")

    def _ask(self, connection: Connection) -> None:
        self._missing_bytes = REQUEST_BYTES
        connection.publish(up(self._name, "ack", bulk=True), REQUEST_BYTES.to_bytes(4, "big"), 0)


class Responder:
    """The server of all streams, as the gateway's user; answers each request with its blocks, QoS 0."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password.encode()

    async def run(self, host: str, port: int) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        login = Login(
            client_id="responder",
            username=self._user,
            password=self._password,
            topic_filter="tg1/up/+/+/ack",
            clean=True,
        )
        connection = Connection(self, login, loop, None, None)
        await loop.create_connection(lambda: connection, host, port)
        while True:
            await anyio.sleep(1.0)
            connection.tick(loop.time())

    def connection_ready(self, connection: Connection) -> None:
        """Clients may ask."""

    def connection_message(self, connection: Connection, topic: str, payload: bytes) -> None:
        """A request."""
        name = topic.split("/")[3].removesuffix(".b")
        for _ in range(int.from_bytes(payload, "big") // BLOCK_BYTES):
            connection.publish(down(name, "chunk", bulk=True), _BLOCK, 0)

    def connection_flush(self, connection: Connection) -> None:
        """Nothing waits for it."""

    def connection_lost(self, connection: Connection, reason: str, *, clean: bool) -> None:
        """Must not happen."""
        del connection, clean
        raise RuntimeError(f"responder: {reason}")


class Download(asyncio.BufferedProtocol):
    """One HTTP client on the terminal's lanes; its socket is read as the simulator's are."""

    def __init__(self, radio: Radio, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._pipe = Pipe(self._loop, radio.down, radio.up, self._arrived)
        self._wire_bytes = self._useful_bytes = 0

    async def run(self, host: str, port: int) -> None:
        """Connect, ask once, and receive until cancelled."""
        await self._loop.create_connection(lambda: self, host, port)
        await anyio.sleep(_NEVER_S)

    def meters(self) -> Meters:
        """Its counts now."""
        return Meters(wire_bytes=self._wire_bytes, received_bytes=self._useful_bytes, useful_bytes=self._useful_bytes)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._pipe.opened(cast("asyncio.Transport", transport))  # uvloop's is one by its methods, not by its class
        self._pipe.write(f"GET /package HTTP/1.1\r\nHost: {self._name}\r\n\r\n".encode())

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        del sizehint
        return self._pipe.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Into the bearer."""
        self._wire_bytes += nbytes
        self._pipe.received(nbytes)

    def _arrived(self, data: bytes) -> None:
        self._useful_bytes += len(data)  # the head of the one response is 60 bytes of it


class FileServer:
    """Sends without end, as fast as TCP takes it."""

    async def run(self, task_status: anyio.abc.TaskStatus[int]) -> None:
        """Serve until cancelled."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        task_status.started(server.sockets[0].getsockname()[1])
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
            while True:
                writer.write(_BLOCK * (AHEAD_BYTES // BLOCK_BYTES))
                await writer.drain()
