"""A flash that outlives its process: every durable write of one terminal, in order, appended to a file.

``Swarm`` opens one per terminal when it is given a folder, so that ``kill -9`` of the simulator is a loss of power for all its
terminals. The file only grows: it holds the terminal's whole life, and ``history`` reads it as such. A write is given
to the system before anything that depends on it leaves the terminal. It is not flushed to the disk: the process may die, the
machine may not.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgpack

from device_sim.flash import Blob, Flash, Sealed, Write

SUFFIX: Final = ".flash"
_HEADER: Final = struct.Struct(">II")  # length, CRC


def open_flash(path: Path) -> Flash:
    """The flash as the file left it (empty when there is none), which goes on in the same file.

    Raises:
        OSError: the file cannot be read or written.
    """
    flash = Flash()
    size = 0
    for end, write in _read(path.read_bytes()) if path.exists() else ():
        flash.apply(write)
        size = end
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o600)
    os.ftruncate(handle, size)  # what a dying process wrote half of was never durable

    def medium(writes: Sequence[Write]) -> None:
        os.write(handle, b"".join(_framed(write) for write in writes))

    flash.medium = medium
    return flash


def read_flash(path: Path) -> Iterator[Write]:
    """All durable writes of a terminal's life, in order."""
    return (write for _, write in _read(path.read_bytes()))


def _read(data: bytes) -> Iterator[tuple[int, Write]]:
    """Whole writes, each with the place in the file where it ends."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, crc = _HEADER.unpack_from(data, at)
        body = data[at + _HEADER.size : at + _HEADER.size + length]
        if len(body) < length or zlib.crc32(body) != crc:
            return
        at += _HEADER.size + length
        yield at, _unpacked(body)


def _framed(write: Write) -> bytes:
    data: Any = (write.data.sha256, write.data.size) if isinstance(write.data, Sealed) else write.data
    body: bytes = msgpack.packb((write.place, data, write.index, write.truncate_to, write.erase))
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


def _unpacked(body: bytes) -> Write:
    place, data, index, truncate_to, erase = msgpack.unpackb(body, use_list=False)
    blob: Blob = Sealed(*data) if isinstance(data, tuple) else data
    return Write(place, blob, index, truncate_to, erase)
