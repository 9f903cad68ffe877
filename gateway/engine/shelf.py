"""Opens stored packages for the pump: readers by package id, their files shared among all transfers."""

from __future__ import annotations

from pathlib import Path

from gateway.core.plan import Target
from gateway.packages.ingest import payload_path
from gateway.packages.reader import OpenFiles, PackageReader


class Shelf:
    """One folder of package files. Close it at the end: it holds file descriptors."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = OpenFiles()

    def open(self, target: Target) -> PackageReader:
        """A reader of the package's payload; it fails at the first read when the file is gone."""
        return PackageReader(payload_path(self._folder, target.sha256.hex()), target.size_bytes, self._files)

    def close(self) -> None:
        """Close all files."""
        self._files.close()
