"""One fault under way: how it begins, when it is over, and how it is mended. ``run`` keeps a few of them at a time.

Nothing here waits for long, so that faults on other targets go on beside it. A point is over when its process has died there
and lives again, or when nobody came by in time: then nothing was struck, and it is counted as not reached.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from scripts._chaos.house import House
from scripts._chaos.table import Fault, Kind, Target
from tests.harness.relay import Line

#: How long a gateway may take to find out that it cannot write its store (seconds).
REFUSAL_S: Final = 30.0
_LAST_MOMENT_S: Final = 0.1
_LINES: Final = {Kind.CUT: Line.CUT, Kind.FROZEN: Line.FROZEN, Kind.SLOW: Line.SLOW, Kind.HALF_OPEN: Line.HALF_OPEN}
_KILLS: Final = frozenset({Kind.KILL, Kind.POINT, Kind.RESTART, Kind.READ_ONLY})


class Strike:
    """See the module. ``begin`` comes first, then ``over`` again and again until it is true."""

    def __init__(self, house: House, fault: Fault) -> None:
        self.fault = fault
        self.began_at = time.time()
        self.ended_at = 0.0
        self.hit = True
        """Whether it has struck: a point may not be reached, and what a disk cannot do is not done."""
        self._house = house
        self._until = time.monotonic() + fault.lasts_s
        self._dead = False
        self._lock: sqlite3.Connection | None = None

    def begin(self) -> None:
        """Strike."""
        house, fault = self._house, self.fault
        target = fault.target
        match fault.kind:
            case Kind.POINT:
                self._arm()
            case Kind.KILL:
                house.kill(target)
            case Kind.RESTART:
                house.stop(target)
            case Kind.FREEZE | Kind.ZOMBIE:
                house.freeze(target, on=True)
            case Kind.CUT | Kind.FROZEN | Kind.SLOW | Kind.HALF_OPEN:
                house.lines[target].set(_LINES[fault.kind])
            case Kind.DISK_FULL:
                house.disk.fill(house.process(target))
                house.store_unusable("full")
            case Kind.READ_ONLY:
                house.kill(target)
                self.hit = house.disk.set_read_only(on=True)
                house.start(target)
            case Kind.LOCKED:
                try:
                    self._lock = house.disk.lock()
                    house.store_unusable("locked")
                except sqlite3.Error:
                    self.hit = False

    def over(self) -> bool:
        """Whether its time has come; mends what it has broken."""
        if self.fault.kind is Kind.POINT and not self._dead:
            return self._watch()
        if time.monotonic() < self._until or self._still_starting:
            return False
        self._mend()
        self.ended_at = time.time()
        return True

    @property
    def _still_starting(self) -> bool:
        """Whether a gateway on a read-only store may yet refuse to start."""
        if self.fault.kind is not Kind.READ_ONLY or not self.hit or time.monotonic() > self._until + REFUSAL_S:
            return False
        return self._house.running(self.fault.target)

    @property
    def kills(self) -> bool:
        """Whether its target may be dead meanwhile."""
        return self.fault.kind in _KILLS

    def _arm(self) -> None:
        house, target = self._house, self.fault.target
        self._until = time.monotonic() + self.fault.waits_s
        house.point(target).write_text(self.fault.point)
        if self.fault.point.endswith(":epoch") and target is Target.GATEWAY:  # only a start comes by there
            house.kill(target)
            house.start(target)

    def _watch(self) -> bool:
        """The process has come by, or nobody will."""
        house, target = self._house, self.fault.target
        if not house.running(target):
            self._dead = True
            house.deaths[target] += 1
            house.point(target).unlink(missing_ok=True)
            self._until = time.monotonic() + self.fault.lasts_s
            return False
        if time.monotonic() < self._until:
            return False
        house.point(target).unlink(missing_ok=True)
        time.sleep(_LAST_MOMENT_S)  # it may be dying just now
        if not house.running(target):
            return False
        self.hit = False
        self.ended_at = time.time()
        return True

    def _mend(self) -> None:
        house, fault = self._house, self.fault
        target = fault.target
        match fault.kind:
            case Kind.KILL | Kind.RESTART | Kind.POINT:
                house.start(target)
            case Kind.FREEZE | Kind.ZOMBIE:
                house.freeze(target, on=False)
            case Kind.CUT | Kind.FROZEN | Kind.SLOW | Kind.HALF_OPEN:
                house.lines[target].set(Line.OPEN)
            case Kind.DISK_FULL:
                house.store_usable()
                house.disk.free(house.process(target))
            case Kind.READ_ONLY:
                self._mend_read_only()
            case Kind.LOCKED:
                if self._lock is not None:
                    house.store_usable()
                    self._lock.close()

    def _mend_read_only(self) -> None:
        """A gateway that cannot write its store must have refused to start, in one line."""
        house, target = self._house, self.fault.target
        process = house.process(target)
        if self.hit and (process.running or process.wait(0.1) != 2):
            house.fell.append(
                f"on a read-only store the gateway {'runs' if process.running else 'ended otherwise than with 2'}"
            )
        if process.running:
            house.kill(target)
        if self.hit:
            house.disk.set_read_only(on=False)
        house.start(target)
