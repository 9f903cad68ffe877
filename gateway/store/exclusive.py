"""One gateway per store: an advisory lock on ``<file>.lock`` that the kernel drops when the process ends, however it ends.

Held by ``Database`` from before the file is opened until after it is closed. The lock file stays; removing it would let a
third process lock a new file of the same name while a second still waits on the old one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import StoreError, StoreInUseError


@contextmanager
def held(store: Path) -> Iterator[None]:
    """Hold the lock of ``store`` for the length of the block.

    Raises:
        StoreInUseError: another process (or another ``Database`` of this one) holds it.
        StoreError: the lock file cannot be made.
    """
    path = store.with_name(store.name + ".lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StoreError(
            f"cannot make the lock file {path}: {exc.strerror}; check that the folder exists and is writable",
            code="store_cannot_open",
        ) from exc
    try:
        _lock(handle, store, path)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)  # closing drops the lock


def _lock(handle: int, store: Path, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        owner = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise StoreInUseError(
            f"the store {store} is open in another gateway (process {owner}, lock {path}); "
            "stop that process, or give this gateway its own store_path",
            store=str(store),
            process=owner,
        ) from exc
