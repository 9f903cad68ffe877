"""The terminal's journal: a small map in flash that survives a power cut at any byte.

A record holds all that one input of the machine changed, so it is atomic: after a cut either all of it counts or none.
Records carry a CRC chained over their predecessors, so a torn or stale one ends the log. When the log has grown, a snapshot
opens the other of two logs; the older one stays valid until the snapshot is durable. Called by the firmware's parts through
``board``.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import msgpack

from device_sim.flash import Flash
from gateway.wire.messages import Plain

LOGS: Final = ("journal0", "journal1")
COMPACT_BYTES: Final = 4096  # a log may grow by this much beyond twice its snapshot
_HEADER: Final = struct.Struct(">II")  # length, chained CRC
GENERATION: Final = ""  # the key of a snapshot's generation; no other key is empty


class Journal:
    """Keys and plain values. ``set`` and ``drop`` show at once in ``get`` and are durable after ``commit``."""

    __slots__ = ("_changes", "_crc", "_flash", "_generation", "_log", "_size", "_snapshot_size", "_state")

    def __init__(self, flash: Flash) -> None:
        """Recover what the last durable commit left; a torn tail is cut off."""
        self._flash = flash
        self._changes: dict[str, Plain] = {}
        found = max((_Log(name, flash.read_log(name)) for name in LOGS), key=lambda log: log.generation)
        self._log = found.name
        self._generation = max(0, found.generation)
        self._state = found.state
        self._size = found.size
        self._crc = found.crc
        self._snapshot_size = found.snapshot_size
        if found.generation < 0:
            self._compact()
        elif found.torn:
            flash.truncate(self._log, self._size)
            flash.sync()

    def get(self, key: str) -> Plain:
        """The value of ``key``, or ``None``."""
        return self._state.get(key)

    def integer(self, key: str) -> int:
        """The value of ``key`` when it is an integer, otherwise 0."""
        value = self._state.get(key)
        return value if isinstance(value, int) else 0

    def blob(self, key: str) -> bytes:
        """The value of ``key`` when it is bytes, otherwise none."""
        value = self._state.get(key)
        return value if isinstance(value, bytes) else b""

    def keys(self, prefix: str) -> list[str]:
        """All keys that begin with ``prefix``, in the order in which they were first set."""
        return [key for key in self._state if key.startswith(prefix)]

    def set(self, key: str, value: Plain) -> None:
        """Change ``key``; ``None`` is no value."""
        if value is None or not key:
            raise AssertionError(key)
        self._state[key] = value
        self._changes[key] = value

    def drop(self, key: str) -> None:
        """Forget ``key``."""
        if self._state.pop(key, None) is not None:
            self._changes[key] = None

    def commit(self) -> None:
        """Make all changes since the last commit durable, as one record.

        Raises:
            PowerLostError: power went away; recover with a new ``Journal``.
        """
        if not self._changes:
            return

        if self._size > 2 * self._snapshot_size + COMPACT_BYTES:
            self._compact()
        else:
            record, self._crc = _frame(self._changes, self._crc)
            self._flash.append(self._log, record)
            self._flash.sync()
            self._size += len(record)
        self._changes = {}

    def _compact(self) -> None:
        other = LOGS[1 - LOGS.index(self._log)]
        record, crc = _frame({GENERATION: self._generation + 1, **self._state}, 0)
        self._flash.truncate(other, 0)
        self._flash.append(other, record)
        self._flash.sync()
        self._log, self._crc, self._generation = other, crc, self._generation + 1
        self._size = self._snapshot_size = len(record)


class _Log:
    """What one of the two logs holds: its valid records folded into a map."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.state: dict[str, Plain] = {}
        self.generation = -1
        self.size = self.crc = self.snapshot_size = 0
        while (changes := self._next(data)) is not None:
            for key, value in changes.items():
                if value is None:
                    self.state.pop(key, None)
                else:
                    self.state[key] = value
            if self.generation < 0:
                generation = self.state.pop(GENERATION, None)
                self.generation = generation if isinstance(generation, int) else 0
                self.snapshot_size = self.size
        self.torn = self.size < len(data)

    def _next(self, data: bytes) -> dict[str, Plain] | None:
        found = read_record(data, self.size, self.crc)
        if found is None:
            return None
        changes, self.size, self.crc = found
        return changes


def read_record(data: bytes, at: int, crc: int) -> tuple[dict[str, Plain], int, int] | None:
    """The record at ``at`` whose predecessor had ``crc``: its changes, where it ends, its CRC; ``None`` when it is torn."""
    if at + _HEADER.size > len(data):
        return None
    length, expected = _HEADER.unpack_from(data, at)
    at += _HEADER.size
    body = data[at : at + length]
    if len(body) < length or length == 0 or zlib.crc32(body, crc) != expected:
        return None
    changes: dict[str, Plain] = msgpack.unpackb(body, use_list=False)
    return changes, at + length, expected


def _frame(changes: dict[str, Plain], crc: int) -> tuple[bytes, int]:
    body: bytes = msgpack.packb(changes)
    crc = zlib.crc32(body, crc)
    return _HEADER.pack(len(body), crc) + body, crc
