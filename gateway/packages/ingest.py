"""Taking in a package file while it streams: believed before it is kept, and kept whole or not at all.

Called by the upload service. Nothing is written before the manifest's signature holds; each segment is checked as its last byte
comes in; the payload gets its name only after the whole hash, the exact length and an fsync. Whatever goes wrong, cancellation
included, leaves nothing behind; a power cut leaves a temporary file, which ``sweep`` takes away at the next start.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from anyio import to_thread

from gateway.errors import StoreError, TooLargeError, TrustError
from gateway.packages.format import split_head
from gateway.trust.keys import KeyRing
from gateway.trust.manifest import Manifest, open_manifest, segment_size
from gateway.wire.codes import Code

_BATCH_BYTES: Final = 1 << 20  # handed to a thread at once: 5 ms of hashing for one hop of 0.1 ms
_PREFIX: Final = ".upload-"
_SUFFIX: Final = ".part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """A package that is on disk and believed."""

    manifest: Manifest
    blob: bytes
    """The signed manifest as it travels; the store keeps it, and offers carry it."""
    sha256hex: str
    """Of the payload; names it."""
    path: Path
    """The payload alone, ready for ``reader``. Two packages with the same payload share it."""


async def ingest(stream: AsyncIterator[bytes], folder: Path, ring: KeyRing, *, max_bytes: int) -> Ingested:
    """Take in the package file that ``stream`` yields; its payload lies in ``folder`` afterwards.

    ``max_bytes`` limits the payload. What ``stream`` raises goes through unchanged.

    Raises:
        TrustError: ``magic_invalid``, ``manifest_too_long``, ``signature_invalid``, ``manifest_invalid``, ``length_mismatch``
            (the text says whether too short or too long) or ``checksum_mismatch`` (``facts["segment"]`` is the damaged one).
        TooLargeError: ``too_large``, before any of the payload is kept.
        StoreError: ``packages_failed``, the folder cannot be written (no space left, say).
    """
    intake = _Intake(folder, ring, max_bytes)
    try:
        batch = bytearray()
        async for piece in stream:
            batch += piece
            if len(batch) >= _BATCH_BYTES:
                await to_thread.run_sync(intake.feed, bytes(batch))
                batch.clear()
        await to_thread.run_sync(intake.feed, bytes(batch))
        return await to_thread.run_sync(intake.finish)
    finally:
        intake.discard()


def payload_path(folder: Path, sha256hex: str) -> Path:
    """Where the payload with this SHA-256 lies."""
    return folder / f"{sha256hex}.payload"


def sweep(folder: Path) -> int:
    """Remove what uploads left behind when the gateway was killed; how many. Call at start, before the first ``ingest``."""
    swept = 0
    for stale in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        stale.unlink(missing_ok=True)
        swept += 1
    return swept


@contextmanager
def _storage() -> Iterator[None]:
    """Foreign errors of the file system, translated once."""
    try:
        yield
    except OSError as exc:
        raise StoreError(f"cannot keep the package: {exc.strerror}", code="packages_failed") from exc


class _Intake:
    """One upload. Its methods run in a thread, one at a time; ``discard`` may be called at any time between them."""

    def __init__(self, folder: Path, ring: KeyRing, max_bytes: int) -> None:
        self._folder = folder
        self._ring = ring
        self._max_bytes = max_bytes
        # what came before the payload
        self._head = b""
        self._blob = b""
        self._manifest: Manifest | None = None
        # the payload so far
        self._file: IO[bytes] | None = None
        self._part: Path | None = None
        self._size_bytes = 0
        self._whole = hashlib.sha256()
        self._segment = hashlib.sha256()
        self._segment_index = 0
        self._segment_left = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the file."""
        if self._manifest is None or self._file is None:
            self._head += data
            parts = split_head(self._head)
            if parts is None:
                return
            self._head = b""
            self._blob, data = parts
            self._begin(open_manifest(self._blob, self._ring))
        self._take(memoryview(data))

    def finish(self) -> Ingested:
        """The file has ended: check what only the whole can show, and give the payload its name."""
        manifest = self._manifest
        if manifest is None or self._file is None or self._part is None:
            raise TrustError("the file ends within its manifest: too short", code=Code.LENGTH_MISMATCH)
        if self._size_bytes < manifest.size_bytes:
            raise TrustError(
                f"{self._size_bytes} of {manifest.size_bytes} bytes: too short",
                code=Code.LENGTH_MISMATCH,
                expected=manifest.size_bytes,
                found=self._size_bytes,
            )
        if self._whole.digest() != manifest.sha256:
            raise TrustError("the hash of the whole payload differs from the manifest's", code=Code.CHECKSUM_MISMATCH)

        sha256hex = manifest.sha256.hex()
        path = payload_path(self._folder, sha256hex)
        with _storage():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._part.replace(path)
            self._part = None
            _fsync_folder(self._folder)
        return Ingested(manifest=manifest, blob=self._blob, sha256hex=sha256hex, path=path)

    def discard(self) -> None:
        """Close the file, and remove it unless ``finish`` has given it its name."""
        with suppress(OSError):  # a full disk shows again when the last bytes are flushed
            if self._file is not None:
                self._file.close()
        if self._part is not None:
            self._part.unlink(missing_ok=True)

    def _begin(self, manifest: Manifest) -> None:
        if manifest.size_bytes > self._max_bytes:
            raise TooLargeError(f"a payload of {manifest.size_bytes} bytes, at most {self._max_bytes} allowed here")

        with _storage():
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=self._folder)
        self._part = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        self._manifest = manifest
        self._segment_left = segment_size(manifest, 0)

    def _take(self, data: memoryview) -> None:
        """Hash and write payload bytes; a segment is checked as soon as it is whole."""
        manifest = self._manifest
        if manifest is None or self._file is None:
            raise AssertionError(self._size_bytes)
        if self._size_bytes + len(data) > manifest.size_bytes:
            raise TrustError(f"more than {manifest.size_bytes} bytes: too long", code=Code.LENGTH_MISMATCH)

        self._whole.update(data)
        at = 0
        while at < len(data):
            piece = data[at : at + self._segment_left]
            self._segment.update(piece)
            self._segment_left -= len(piece)
            at += len(piece)
            if not self._segment_left:
                self._end_segment(manifest)
        self._size_bytes += len(data)
        with _storage():
            self._file.write(data)

    def _end_segment(self, manifest: Manifest) -> None:
        index = self._segment_index
        if self._segment.digest() != manifest.segments[index]:
            raise TrustError(
                f"segment {index} of {len(manifest.segments)} does not have the hash that the manifest gives it",
                code=Code.CHECKSUM_MISMATCH,
                segment=index,
            )
        self._segment = hashlib.sha256()
        self._segment_index = index + 1
        self._segment_left = segment_size(manifest, index + 1)


def _fsync_folder(folder: Path) -> None:
    """Make the new name durable too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
