"""The flash of one terminal: what is durable, what is still in a write buffer, and what a power cut leaves of it.

Two shapes of storage: *logs* (bytes, appended) for the journal and *areas* (numbered blobs) for staged segments and slots.
Every write waits in order until ``sync``; a power cut keeps a prefix of the waiting bytes, so the last write may be torn.
Reads see only what is durable. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace


class PowerLostError(Exception):
    """Power went away in the middle of a ``sync``; the machine must stop at once and start again from flash."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Stands for bytes whose hash was checked and that are not kept, so that thousands of terminals fit into memory."""

    sha256: bytes
    size: int


Blob = bytes | Sealed


class SegmentPool:
    """Verified segments by their hash, shared by all terminals of a process: 500 copies of a package cost one."""

    __slots__ = ("_known", "_whole")

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}
        self._whole: dict[tuple[bytes, ...], bytes] = {}

    def keep(self, sha256: bytes, data: bytes) -> bytes:
        """The one shared copy of ``data``, whose hash the caller has just checked."""
        return self._known.setdefault(sha256, data)

    def known(self, sha256: bytes) -> bytes | None:
        """The shared copy with this hash, if there is one."""
        return self._known.get(sha256)

    def matches(self, sha256: bytes, blob: Blob | None) -> bool:
        """Whether ``blob`` is whole and has this hash."""
        if blob is None:
            return False
        if isinstance(blob, Sealed):
            return blob.sha256 == sha256
        return blob is self._known.get(sha256) or hashlib.sha256(blob).digest() == sha256

    def whole_sha256(self, segments: tuple[bytes, ...], blobs: list[Blob]) -> bytes | None:
        """Hash over all segments in order; ``None`` when their bytes are not kept and it was never computed."""
        found = self._whole.get(segments)
        if found is None:
            whole = hashlib.sha256()
            for blob in blobs:
                if isinstance(blob, Sealed):
                    return None
                whole.update(blob)
            found = self._whole[segments] = whole.digest()
        return found


@dataclass(frozen=True, slots=True)
class Write:
    """One write: append to a log, cut a log to a size, put a blob, or erase an area."""

    place: str
    data: Blob = b""
    index: int | None = None
    truncate_to: int | None = None
    erase: bool = False

    @property
    def cost(self) -> int:
        """Bytes it takes to complete; erasing and truncating take one."""
        size = self.data.size if isinstance(self.data, Sealed) else len(self.data)
        return max(1, size)

    def kept(self, room: int) -> Write:
        """What of it is durable when power goes away after ``room`` bytes of it."""
        return self if room >= self.cost else replace(self, data=_torn(self.data, room))


@dataclass(slots=True)
class Flash:
    """Byte store with a write buffer."""

    logs: dict[str, bytearray] = field(default_factory=dict)
    areas: dict[str, dict[int, Blob]] = field(default_factory=dict)
    fuse: int | None = None
    """Power is lost after this many more bytes have been made durable; ``None``: never."""
    written_bytes: int = 0
    """All bytes made durable so far."""
    medium: Callable[[Sequence[Write]], None] | None = None
    """Told all that has just become durable, in order, before ``sync`` returns (``flash_file``)."""
    _waiting: list[Write] = field(default_factory=list)

    def append(self, log: str, data: bytes) -> None:
        """Add to the end of a log."""
        self._waiting.append(Write(log, data))

    def truncate(self, log: str, size: int) -> None:
        """Cut a log to its first ``size`` bytes."""
        self._waiting.append(Write(log, truncate_to=size))

    def put(self, area: str, index: int, blob: Blob) -> None:
        """Write blob ``index`` of an area."""
        self._waiting.append(Write(area, blob, index))

    def erase(self, area: str) -> None:
        """Forget all blobs of an area."""
        self._waiting.append(Write(area, erase=True))

    def read_log(self, log: str) -> bytes:
        """The durable bytes of a log."""
        return bytes(self.logs.get(log, b""))

    def read(self, area: str, index: int) -> Blob | None:
        """A durable blob."""
        return self.areas.get(area, {}).get(index)

    @property
    def waiting_bytes(self) -> int:
        """How much would be lost by a power cut now, at most."""
        return sum(write.cost for write in self._waiting)

    def sync(self) -> None:
        """Make every waiting write durable, in order.

        Raises:
            PowerLostError: the fuse blew; a prefix of the waiting bytes is durable.
        """
        total = self.waiting_bytes
        if self.fuse is not None and self.fuse <= total:
            kept, self.fuse = self.fuse, None
            self.power_cut(kept)
            raise PowerLostError

        if self.fuse is not None:
            self.fuse -= total
        self.power_cut(total)

    def power_cut(self, kept_bytes: int) -> None:
        """Keep the first ``kept_bytes`` of the waiting writes, the last of them torn if need be, and lose the rest."""
        durable: list[Write] = []
        for write in self._waiting:
            if kept_bytes <= 0:
                break
            durable.append(write.kept(kept_bytes))
            self.written_bytes += min(kept_bytes, write.cost)
            kept_bytes -= write.cost
        self._waiting.clear()
        if durable and self.medium is not None:
            self.medium(durable)
        for write in durable:
            self.apply(write)

    def apply(self, write: Write) -> None:
        """Make one write durable; also how a flash is built anew from what its medium was told."""
        if write.erase:
            self.areas.pop(write.place, None)
        elif write.truncate_to is not None:
            del self.logs.setdefault(write.place, bytearray())[write.truncate_to :]
        elif write.index is not None:
            self.areas.setdefault(write.place, {})[write.index] = write.data
        elif isinstance(write.data, Sealed):
            raise AssertionError(write.place)
        else:
            self.logs.setdefault(write.place, bytearray()).extend(write.data)


def _torn(blob: Blob, room: int) -> Blob:
    """What is left of a blob when power went away while it was written; never mistaken for the whole."""
    return b"\xff" * min(room, 16) if isinstance(blob, Sealed) else blob[:room]
