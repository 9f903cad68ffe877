"""A socket that reads ahead. paho reads each packet in three to four small pieces, each a system call without this."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

READ_BYTES: Final = 64 * 1024  # some 200 acks: no more than 3 ms of work before others run


class BufferedSocket:
    """Stands in for the connected, non-blocking ``sock`` inside paho (its ``SocketLike``), plain or TLS.

    Asks the kernel at most once per ``allow_read``, so that a broker which never stops sending cannot hold the loop. What was
    read is always consumed to the last byte (paho keeps the beginning of an unfinished packet itself), so the kernel's
    readiness says all: nothing waits here unnoticed. A TLS record (16 KiB) fits ``READ_BYTES``, so nothing waits in OpenSSL.
    """

    __slots__ = ("_ahead", "_at", "_may_read", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._ahead = b""
        self._at = 0
        self._may_read = False

    def allow_read(self) -> None:
        """The next ``recv`` that finds the buffer empty may ask the kernel."""
        self._may_read = True

    def recv(self, buffer_size: int) -> bytes:
        """At most ``buffer_size`` bytes, none at the end; ``BlockingIOError`` when there are none now."""
        at = self._at
        if at == len(self._ahead):
            if not self._may_read:
                raise BlockingIOError
            self._may_read = False
            self._ahead = b""
            self._at = at = 0
            self._ahead = self._sock.recv(READ_BYTES)
        piece = self._ahead[at : at + buffer_size]
        self._at = at + len(piece)
        return piece

    def pending(self) -> int:
        """Bytes read ahead."""
        return len(self._ahead) - self._at

    def abort(self) -> None:
        """Forget what was read ahead and end both directions: whoever reads next finds the end."""
        self._ahead = b""
        self._at = 0
        self._may_read = True
        with suppress(OSError):  # the other side was faster
            self._sock.shutdown(socket.SHUT_RDWR)

    def send(self, buffer: bytes | bytearray) -> int:
        """As the socket's own."""
        return self._sock.send(buffer)

    def fileno(self) -> int:
        """As the socket's own."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001  # the signature of socket.socket
        """As the socket's own."""
        self._sock.setblocking(flag)

    def close(self) -> None:
        """As the socket's own."""
        self._sock.close()
