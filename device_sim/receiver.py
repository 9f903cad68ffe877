"""The receiving end of a transfer: chunks in, verified segments out. Pure; touches no flash and sends nothing.

What is held counts for acks as soon as it is there; a segment whose hash is wrong is dropped whole, so that its blocks
vanish from the next ack and come again. Bytes that are already held, or that are no part of the package, are never stored.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import NamedTuple

from device_sim.flash import Blob, Sealed, SegmentPool
from gateway.trust.manifest import Manifest, segment_size
from gateway.wire.messages import BLOCK_BYTES, BLOCKS_PER_SEGMENT, Chunk
from gateway.wire.ranges import RangeSet


class Verdict(StrEnum):
    """What became of a chunk."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OUTSIDE = "chunk_outside"
    LENGTH = "chunk_length"


class Finished(NamedTuple):
    """All bytes of a segment have come; ``blob`` is ``None`` when their hash is wrong."""

    segment: int
    sha256: bytes
    blob: Blob | None


class Taken(NamedTuple):
    """Outcome of one chunk."""

    verdict: Verdict
    new_bytes: int = 0
    finished: tuple[Finished, ...] = ()


class _Partial:
    """A segment that is coming in: hashed as far as it is contiguous, kept as pieces."""

    __slots__ = ("_hasher", "_keep", "_pieces", "_waiting", "hashed")

    def __init__(self, *, keep: bool) -> None:
        self._hasher = hashlib.sha256()
        self._keep = keep
        self._pieces: list[bytes] = []
        self._waiting: dict[int, bytes] = {}
        self.hashed = 0
        """Bytes from the start that are hashed."""

    def add(self, offset: int, data: bytes) -> None:
        if offset != self.hashed:
            self._waiting[offset] = data
            return
        self._take(data)
        while self._waiting and (piece := self._waiting.pop(self.hashed, None)) is not None:
            self._take(piece)

    def _take(self, piece: bytes) -> None:
        self._hasher.update(piece)
        self.hashed += len(piece)
        if self._keep:
            self._pieces.append(piece)

    def matches(self, sha256: bytes) -> bool:
        return self._hasher.digest() == sha256

    def blob(self, sha256: bytes, size: int) -> Blob:
        return b"".join(self._pieces) if self._keep else Sealed(sha256, size)


class Receiver:
    """Held blocks of one package. Survives a new bulk connection and a new transfer id, not a power cut."""

    __slots__ = ("_keep", "_manifest", "_partial", "_pool", "damage_next", "held")

    def __init__(self, manifest: Manifest, have: RangeSet, pool: SegmentPool, *, keep: bool) -> None:
        """``keep`` the bytes of segments, shared by way of ``pool``, or only their checked hashes."""
        self._manifest = manifest
        self._pool = pool
        self._keep = keep
        self._partial: dict[int, _Partial] = {}
        self.damage_next = 0
        """Fault: this many segments are damaged in memory before they are checked."""
        self.held = RangeSet()
        """Blocks, verified or not."""
        for start, stop in have:
            self.held.add(start * BLOCKS_PER_SEGMENT, min(stop * BLOCKS_PER_SEGMENT, self.block_count))

    @property
    def block_count(self) -> int:
        """Blocks of the whole package."""
        return -(-self._manifest.size_bytes // BLOCK_BYTES)

    def take(self, chunk: Chunk) -> Taken:
        """Keep what is new in a chunk."""
        size = self._manifest.size_bytes
        offset, length = chunk.index * BLOCK_BYTES, len(chunk.data)
        if offset + length > size:
            return Taken(Verdict.OUTSIDE)
        if length % BLOCK_BYTES and offset + length != size:
            return Taken(Verdict.LENGTH)

        stop = chunk.index + -(-length // BLOCK_BYTES)
        held = self.held
        missing = [(chunk.index, stop)] if chunk.index >= held.last_stop else list(held.gaps(chunk.index, stop))
        if not missing:
            return Taken(Verdict.DUPLICATE)
        new_bytes = 0
        finished: list[Finished] = []
        for first, last in missing:
            data = chunk.data[(first - chunk.index) * BLOCK_BYTES : (last - chunk.index) * BLOCK_BYTES]
            new_bytes += len(data)
            self.held.add(first, last)
            self._spread(first, data, finished)
        return Taken(Verdict.NEW, new_bytes, tuple(finished))

    def _spread(self, block: int, data: bytes, finished: list[Finished]) -> None:
        """Give each segment its share; chunks seldom cross an edge, but may."""
        while data:
            index, inside = divmod(block, BLOCKS_PER_SEGMENT)
            room = (BLOCKS_PER_SEGMENT - inside) * BLOCK_BYTES
            self._add(index, inside * BLOCK_BYTES, data[:room], finished)
            block += BLOCKS_PER_SEGMENT - inside
            data = data[room:]

    def _add(self, index: int, offset: int, data: bytes, finished: list[Finished]) -> None:
        partial = self._partial.get(index)
        if partial is None:
            keep = self._keep and self._pool.known(self._manifest.segments[index]) is None
            partial = self._partial[index] = _Partial(keep=keep)
        partial.add(offset, data)
        size = segment_size(self._manifest, index)
        if partial.hashed < size:
            return

        del self._partial[index]
        sha256 = self._manifest.segments[index]
        damaged = self.damage_next > 0
        self.damage_next -= damaged
        if damaged or not partial.matches(sha256):
            first = index * BLOCKS_PER_SEGMENT
            self.held.remove(first, first + BLOCKS_PER_SEGMENT)
            finished.append(Finished(index, sha256, None))
            return
        known = self._pool.known(sha256) if self._keep else None
        blob = partial.blob(sha256, size) if known is None else known
        finished.append(Finished(index, sha256, self._pool.keep(sha256, blob) if isinstance(blob, bytes) else blob))
