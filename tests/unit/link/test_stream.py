"""The socket that reads ahead, on a socket pair."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gateway.link.stream import READ_BYTES, BufferedSocket


@pytest.fixture
def pair() -> Iterator[tuple[BufferedSocket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield BufferedSocket(near), far


def test_pieces_come_from_one_read(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair
    far.sendall(b"abcdef")
    stream.allow_read()

    assert stream.recv(1) == b"a"
    far.sendall(b"later")
    assert (stream.recv(2), stream.pending(), stream.recv(100), stream.pending()) == (b"bc", 3, b"def", 0)
    with pytest.raises(BlockingIOError):
        stream.recv(1)

    stream.allow_read()
    assert stream.recv(100) == b"later"


def test_one_permission_reads_no_more_than_its_share(pair: tuple[BufferedSocket, socket.socket]) -> None:
    """A broker that never stops sending must not hold the loop."""
    stream, far = pair
    far.sendall(bytes(READ_BYTES + 1))
    stream.allow_read()

    assert len(stream.recv(2 * READ_BYTES)) == READ_BYTES
    with pytest.raises(BlockingIOError):
        stream.recv(1)


def test_nothing_there_is_blocking_io_and_a_permission_is_spent(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair
    stream.allow_read()
    with pytest.raises(BlockingIOError):
        stream.recv(1)

    far.sendall(b"x")
    with pytest.raises(BlockingIOError):
        stream.recv(1)


def test_end_is_an_empty_read(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair
    far.close()
    stream.allow_read()

    assert stream.recv(1) == b""


def test_abort_forgets_what_was_read_and_finds_the_end(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair
    far.sendall(b"abc")
    stream.allow_read()
    stream.recv(1)

    stream.abort()

    assert (stream.pending(), stream.recv(1)) == (0, b"")


def test_abort_after_the_other_side_has_gone(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair
    far.close()

    stream.abort()
    stream.abort()
    assert stream.recv(1) == b""


def test_writing_goes_straight_through(pair: tuple[BufferedSocket, socket.socket]) -> None:
    stream, far = pair

    assert stream.send(b"abc") == 3
    assert far.recv(10) == b"abc"
