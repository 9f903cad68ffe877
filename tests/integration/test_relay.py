"""The line between a client and a server does what it is told: real sockets on the loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.harness.relay import Line, Relay

WAIT_S = 5.0


class Echo:
    """A server that answers every line with itself; ``ended`` is set when a connection is gone."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(1024):
                connection.sendall(data)
        self.ended.set()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with closing(Echo()) as server:
        yield server


@pytest.fixture
def relay(echo: Echo) -> Iterator[Relay]:
    with Relay(echo.port) as line:
        yield line


def dial(relay: Relay, timeout_s: float = WAIT_S) -> socket.socket:
    return socket.create_connection((relay.host, relay.port), timeout=timeout_s)


def answer(line: socket.socket, said: bytes) -> bytes:
    line.sendall(said)
    return line.recv(1024)


def test_open_line_passes_bytes_and_an_orderly_end(relay: Relay, echo: Echo) -> None:
    with dial(relay) as line:
        assert answer(line, b"one") == b"one"
    assert echo.ended.wait(WAIT_S)


def test_cut_line_resets_what_is_open_and_what_is_new(relay: Relay, echo: Echo) -> None:
    with dial(relay) as line:
        assert answer(line, b"one") == b"one"
        relay.set(Line.CUT)
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    assert echo.ended.wait(WAIT_S)
    with dial(relay) as line, pytest.raises(ConnectionError):
        answer(line, b"two")

    relay.set(Line.OPEN)
    with dial(relay) as line:
        assert answer(line, b"three") == b"three"


def test_frozen_line_holds_bytes_and_gives_them_when_it_opens(relay: Relay, echo: Echo) -> None:
    with dial(relay) as line:
        assert answer(line, b"one") == b"one"
        relay.set(Line.FROZEN)
        line.sendall(b"two")
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(1024)
        assert not echo.ended.is_set()

        line.settimeout(WAIT_S)
        relay.set(Line.OPEN)
        assert line.recv(1024) == b"two"


def test_half_open_line_is_gone_for_the_server_alone_until_the_client_speaks(relay: Relay, echo: Echo) -> None:
    with dial(relay) as line:
        assert answer(line, b"one") == b"one"
        relay.set(Line.HALF_OPEN)
        assert echo.ended.wait(WAIT_S)
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(1024)
        relay.set(Line.OPEN)
        with pytest.raises(TimeoutError):
            line.recv(1024)

        line.settimeout(WAIT_S)
        with pytest.raises(ConnectionResetError):
            answer(line, b"two")


def test_slow_line_delivers_late(relay: Relay) -> None:
    with dial(relay) as line:
        relay.set(Line.SLOW)
        line.settimeout(0.2)
        line.sendall(b"one")
        with pytest.raises(TimeoutError):
            line.recv(1024)
        line.settimeout(WAIT_S)
        assert line.recv(1024) == b"one"
