"""A relay between one MQTT 3.1.1 client and its broker that reads along: every message of both ways, before it is passed on.

So what a client sends because of a message is heard after that message, whatever the machine is busy with: counts taken here
are exact where those of two listeners would depend on who was scheduled first. It has threads of its own, since stages block.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

HOST: Final = "127.0.0.1"
_PUBLISH: Final = 3


class Wiretap:
    """Listens on ``port`` and relays to ``broker_port``; ``heard(topic, payload)`` is called by one thread at a time."""

    def __init__(self, broker_port: int, heard: Callable[[str, bytes], None]) -> None:
        self._broker_port = broker_port
        self._heard = heard
        self._lock = threading.Lock()
        self._server = socket.create_server((HOST, 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for one in (self._server, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(5.0)

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed: the end
            while True:
                client, _ = self._server.accept()
                try:
                    broker = socket.create_connection((HOST, self._broker_port), timeout=5.0)
                except OSError:
                    client.close()
                    continue
                for one in (client, broker):
                    one.settimeout(None)
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += (client, broker)
                self._start(lambda client=client, broker=broker: self._relay(client, broker))  # type: ignore[misc]
                self._start(lambda client=client, broker=broker: self._relay(broker, client))  # type: ignore[misc]

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        """One way of one connection, until either end is gone."""
        buffer = bytearray()
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                buffer += data
                with self._lock:
                    while (message := _cut(buffer)) is not None:
                        if message[0]:
                            self._heard(*message)
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _cut(buffer: bytearray) -> tuple[str, bytes] | None:
    """Take the first whole packet out of the buffer: topic and payload of a PUBLISH, empty ones of any other packet."""
    size, shift, at = 0, 0, 1
    while True:
        if at >= len(buffer):
            return None
        digit = buffer[at]
        size |= (digit & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if digit < 0x80:
            break
    if len(buffer) < at + size:
        return None
    first, body = buffer[0], bytes(buffer[at : at + size])
    del buffer[: at + size]
    if first >> 4 != _PUBLISH:
        return "", b""
    length = 2 + int.from_bytes(body[:2])
    return body[2:length].decode(), body[length + (2 if first & 0x06 else 0) :]
