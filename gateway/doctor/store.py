"""The store: is it there, of this version, whole, in its mode; and what its times say of the clock."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Final

from gateway.doctor.finding import Finding, fail, warn, well
from gateway.errors import StoreError
from gateway.store import migrate
from gateway.store.condition import Condition, look

#: A log that is never emptied belongs to a reader that never ends.
LOG_BYTES: Final = 512 << 20
#: A clock that is off by more makes terminals refuse orders or campaigns miss their windows (seconds).
CLOCK_OFF_S: Final = 60.0
#: So many terminals must agree before the gateway's clock is doubted, not theirs.
WITNESSES: Final = 5


def check_store(file: Path, *, within_s: float, now_us: int | None = None) -> list[Finding]:
    """What there is to say of the store ``file``; blocks for about ``within_s`` at most."""
    if not file.exists():
        return [warn("store.file", f"{file} is not there", "right before the first start; else check store_path")]
    try:
        found = look(file, within_s=within_s)
    except StoreError as exc:
        return [fail("store.file", exc.message, "mend what the text names, or `tillgate restore` a backup")]
    return [
        _file(file, found),
        _version(found),
        _mode(found),
        _whole(found, within_s),
        *_clock(found, time.time_ns() // 1000 if now_us is None else now_us),
    ]


def _file(file: Path, found: Condition) -> Finding:
    text = f"{file}, {found.size_bytes / 1e6:.1f} MB and a log of {found.log_bytes / 1e6:.1f} MB"
    if found.log_bytes > LOG_BYTES:
        return warn(
            "store.file", text, "something reads the store without end and keeps its log from shrinking: find and end it"
        )
    return well("store.file", text)


def _version(found: Condition) -> Finding:
    if found.revision == migrate.HEAD:
        return well("store.version", f"tables at step {found.revision}")
    if found.revision is None:
        return fail(
            "store.version", "there are no tables in it", "is store_path the right file? a start makes them in an empty one"
        )
    if found.revision in migrate.known_revisions():
        return warn(
            "store.version",
            f"tables at step {found.revision} of {migrate.HEAD}",
            "the next start brings them up; back up first",
        )
    return fail(
        "store.version",
        f"tables at step {found.revision}, this version knows {migrate.HEAD}",
        "a newer gateway wrote it: run that one, or restore the backup from before",
    )


def _mode(found: Condition) -> Finding:
    if found.journal_mode == "wal":
        return well("store.log", "write-ahead log; each connection of the gateway syncs every commit")
    return warn(
        "store.log",
        f"journal mode {found.journal_mode}",
        "right before the first start, which sets it; else something changed it",
    )


def _whole(found: Condition, within_s: float) -> Finding:
    if found.damage is None:
        return warn(
            "store.whole", f"not looked through within {within_s:g} s", "run `tillgate backup`, which checks all of its copy"
        )
    if found.damage:
        return fail("store.whole", f"damaged: {found.damage}", "stop the gateway, check the disk, `tillgate restore` a backup")
    return well("store.whole", "quick check passed")


def _clock(found: Condition, now_us: int) -> list[Finding]:
    ahead_s = (found.newest_us - now_us) / 1e6
    out = [
        fail("clock.ledger", f"the newest entry is {ahead_s:.0f} s in the future", "the clock was set back: set it right (NTP)")
        if ahead_s > CLOCK_OFF_S
        else well("clock.ledger", "no entry is from the future")
    ]
    if len(found.offsets_s) >= WITNESSES:
        off_s = statistics.median(found.offsets_s.values())
        text = f"{len(found.offsets_s)} terminals' clocks are behind by {off_s:.0f} s (median)"
        advice = "is it the gateway's clock that is wrong? compare it with another one"
        out.append(warn("clock.terminals", text, advice) if abs(off_s) > CLOCK_OFF_S else well("clock.terminals", text))
    return out
