"""The disk of the store: a small file system of its own where the system lets us make one, so that it can be full or read-only.

``scripts/chaos`` starts us in a mount name space of our own when it can, so nobody else sees the mount, and it goes with us. If
no mount is allowed, a full disk is a limit on the size of the gateway's files (``RLIMIT_FSIZE``), and a read-only store is not
tried; ``real`` says which it is.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.process import Process

SIZE_BYTES: Final = 96 * 1024 * 1024
_FILLER: Final = "filler"
_BUSY_S: Final = 5.0


class Disk:
    """The folder ``path`` of the store and the packages."""

    def __init__(self, path: Path, store: Path) -> None:
        self.path = path
        self._store = store
        self.real = False
        """Whether it is a file system of its own."""

    def __enter__(self) -> Self:
        self.real = self._mount("-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=700", "tillgate-chaos")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.real:
            subprocess.run(["umount", str(self.path)], check=False, capture_output=True)

    def fill(self, gateway: Process) -> None:
        """Leave no room, for what is appended from now on."""
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._store, timeout=0.2)) as store:
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else the log would go on in the room that it has
        if not self.real:
            log = self._store.with_name(self._store.name + "-wal")
            limit = log.stat().st_size if log.exists() else 0
            resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            return
        with (self.path / _FILLER).open("wb", buffering=0) as filler:  # a buffer would be written out at its close, and fail
            free = os.statvfs(self.path)
            for step in (1 << 20, 1 << 12):  # the gateway writes meanwhile: whole blocks first, then the last pages
                with suppress(OSError):
                    for _ in range(free.f_bavail * free.f_frsize // step + 1):
                        filler.write(bytes(step))

    def free(self, gateway: Process) -> None:
        """Make room again."""
        (self.path / _FILLER).unlink(missing_ok=True)
        if not self.real and gateway.running:
            resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def set_read_only(self, *, on: bool) -> bool:
        """Whether that could be done. Nobody may have the store open: a file system with writers stays writable."""
        if not self.real:
            return False
        give_up = time.monotonic() + _BUSY_S
        while not self._mount("-o", f"remount,{'ro' if on else 'rw'}"):
            if time.monotonic() > give_up:
                return False
            time.sleep(0.05)
        return True

    def lock(self) -> sqlite3.Connection:
        """Hold the store against the gateway, as a backup tool or a person's shell may; close what this returns."""
        store = sqlite3.connect(self._store, timeout=2.0, isolation_level=None)
        try:
            store.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            store.close()
            raise
        return store

    def _mount(self, *arguments: str) -> bool:
        try:
            done = subprocess.run(["mount", *arguments, str(self.path)], check=False, capture_output=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0
