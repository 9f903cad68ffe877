"""The machine: room on its disks, and whether its clock is kept right."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.doctor.finding import Finding, fail, warn, well
from gateway.trust.manifest import MAX_PACKAGE_BYTES

#: Below this nothing can be committed for long.
LEAST_BYTES: Final = 100 * 10**6
#: What ``adjtimex`` returns while nobody keeps the clock (linux/timex.h, TIME_ERROR).
_UNSYNCHRONISED: Final = 5
_TIMEX_BYTES: Final = 512  # the structure has 208; nothing of it is read


def check_disk(
    store: Path,
    packages: Path,
    *,
    package_max_bytes: int,
    free_of: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
) -> list[Finding]:
    """Room for the store to double (a migration, a backup beside it) and for the largest package."""
    store_bytes = store.stat().st_size if store.exists() else 0
    package_bytes = min(package_max_bytes, MAX_PACKAGE_BYTES)
    return [
        _room("disk.store", store.parent, store_bytes, f"the store ({store_bytes / 1e6:.0f} MB) to double", free_of),
        _room("disk.packages", packages, package_bytes, f"the largest package ({package_bytes / 1e6:.0f} MB)", free_of),
    ]


def _room(check: str, folder: Path, wanted_bytes: int, what: str, free_of: Callable[[Path], int]) -> Finding:
    place = next((one for one in (folder, *folder.absolute().parents) if one.is_dir()), folder)
    try:
        free = free_of(place)
    except OSError as exc:
        return fail(check, f"{place}: {exc.strerror}", "make the folder, or mend its permissions")
    text = f"{place}: {free / 1e9:.1f} GB free"
    if free < LEAST_BYTES:
        return fail(check, text, "make room now: a full disk stops every commit")
    if free < wanted_bytes + LEAST_BYTES:
        return warn(
            check, f"{text}, too little for {what}", "make room before the next upload, upgrade of the gateway or backup"
        )
    return well(check, text)


def check_clock(kept: Callable[[], bool | None] | None = None) -> list[Finding]:
    """Whether the kernel holds the clock for synchronised."""
    found = (kept or kernel_keeps_time)()
    if found is None:
        return [warn("clock.kept", "the kernel does not say whether the clock is kept", "see to NTP on this machine yourself")]
    if not found:
        return [
            warn("clock.kept", "nobody keeps the clock of this machine", "run chrony or systemd-timesyncd: orders carry times")
        ]
    return [well("clock.kept", "synchronised")]


def kernel_keeps_time() -> bool | None:
    """What ``adjtimex`` says; ``None`` where there is none."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # modes 0: only asks
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _UNSYNCHRONISED
