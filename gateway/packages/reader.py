"""Reading pieces of payloads for the pump: one ``pread`` from the page cache, a few microseconds for 16 KiB.

Called from the event loop's thread alone, as nothing here locks. Open files are bounded, however many packages are shipped.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from gateway.errors import StoreError

MAX_OPEN_FILES: Final = 64


class OpenFiles:
    """File descriptors of payloads, at most ``limit``; the one used longest ago is closed first."""

    def __init__(self, *, limit: int = MAX_OPEN_FILES) -> None:
        self._limit = limit
        self._descriptors: dict[Path, int] = {}  # the newest last

    def get(self, path: Path) -> int:
        """A descriptor to read ``path`` with, valid until the next call."""
        descriptor = self._descriptors.pop(path, None)
        if descriptor is None:
            descriptor = _open(path)
        self._descriptors[path] = descriptor
        if len(self._descriptors) > self._limit:
            oldest = next(iter(self._descriptors))
            os.close(self._descriptors.pop(oldest))
        return descriptor

    def close(self) -> None:
        """Close all; the next ``get`` opens again."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def __len__(self) -> int:
        return len(self._descriptors)


class PackageReader:
    """The payload of one package; cheap to make and to keep, as it holds no file itself."""

    __slots__ = ("_files", "_path", "size_bytes")

    def __init__(self, path: Path, size_bytes: int, files: OpenFiles) -> None:
        self._path = path
        self._files = files
        self.size_bytes = size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on, fewer only at the end of the package.

        Raises:
            StoreError: ``package_missing`` or ``package_damaged`` when the file is not what was taken in.
        """
        wanted = min(length, self.size_bytes - offset)
        if wanted <= 0:
            return b""

        try:
            data = os.pread(self._files.get(self._path), wanted, offset)
        except OSError as exc:
            raise StoreError(f"cannot read {self._path.name}: {exc.strerror}", code="package_missing") from exc
        if len(data) != wanted:
            raise StoreError(f"{self._path.name} ends before {offset + wanted} bytes", code="package_damaged")
        return data


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    # Let the system fetch it in the background, so that no read of the loop waits for a disk.
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
    return descriptor
