"""Preparation: may the terminal be upgraded now; settle, upload, back up, close applications.

Reports ready or not_ready. After a not_ready it watches for its reason to pass and then asks for a fresh hello, so that the
gateway need not guess. Never interrupts a payment.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from device_sim.board import Board
from device_sim.dossier import Dossier
from gateway.trust.manifest import Manifest
from gateway.wire.codes import Code, Phase, What

RETRY_S: Final = 30.0  # between looks at an unsettled batch, at the scenario's speed
CHARGING_FLOOR_PCT: Final = 15
WATCH_S: Final = 60.0  # between looks at a battery that nobody charges


def battery_needed_pct(manifest: Manifest, *, charging: bool) -> int:
    """The charge that an upgrade needs: on the charger half of what the manifest asks for, but a plug can be pulled."""
    needed = manifest.battery_min_pct
    return min(needed, max(CHARGING_FLOOR_PCT, -(-needed // 2))) if charging else needed


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why not now."""

    code: Code
    needed: int
    found: int


class Preparation:
    """One preparation under way, and the obstacle that stopped the last one."""

    __slots__ = ("_board", "_dossier", "_ready_at", "_watch", "_watch_at", "hello_wanted")

    def __init__(self, board: Board, dossier: Dossier) -> None:
        self._board = board
        self._dossier = dossier
        self._ready_at: float | None = None
        self._watch: Code | None = None
        self._watch_at: float | None = None
        self.hello_wanted = False
        """Facts have changed that a not_ready had named; the firmware says hello and clears it."""

    def start(self, now: float) -> None:
        """After a boot: what power interrupted begins anew."""
        if self._dossier.phase is Phase.PREPARING:
            self.begin(now)

    def begin(self, now: float) -> None:
        """Check, then settle and back up; reports not_ready at once when something is in the way."""
        self.stop()
        obstacle = self.obstacle()
        if obstacle is not None:
            self._report_obstacle(obstacle, now)
            return

        profile = self._board.profile
        self._dossier.enter(Phase.PREPARING)
        self._ready_at = now + self._board.duration(profile.settle_s) + self._board.duration(profile.backup_s)

    def stop(self) -> None:
        """Another order has overtaken it."""
        self._ready_at = self._watch = self._watch_at = None

    def obstacle(self) -> Obstacle | None:
        """The first reason why the terminal may not be upgraded now."""
        board, manifest = self._board, self._dossier.package
        if board.shop.in_transaction:
            return Obstacle(Code.IN_TRANSACTION, 0, 1)
        needed = battery_needed_pct(manifest, charging=board.battery.charging)
        if board.battery.percent < needed:
            return Obstacle(Code.BATTERY_LOW, needed, board.battery.percent)
        needed = max(manifest.storage_min_bytes, manifest.size_bytes)
        if board.storage_free_bytes < needed:
            return Obstacle(Code.STORAGE_FULL, needed, board.storage_free_bytes)
        return None

    @property
    def deadline(self) -> float | None:
        """When it has something to do."""
        if self._ready_at is not None:
            return None if self._board.shop.in_transaction else self._ready_at
        return self._watch_at

    def on_time(self, now: float) -> None:
        """Finish, or look whether the obstacle has gone."""
        if self._ready_at is not None and now >= self._ready_at and not self._board.shop.in_transaction:
            self._ready_at = None
            self._finish(now)
        elif self._watch is Code.IN_TRANSACTION and not self._board.shop.in_transaction:
            self._cleared()
        elif self._watch_at is not None and now >= self._watch_at:
            self._look(now)

    def _finish(self, now: float) -> None:
        board, faults = self._board, self._board.faults
        if board.fault.strikes("settle", faults.settle_failures):
            self._report_obstacle(Obstacle(Code.UNSETTLED_BATCH, 0, board.shop.unsettled_count), now)
            return
        board.shop.settle()
        if board.fault.strikes("backup", faults.backup_failures):
            self._report_obstacle(Obstacle(Code.BACKUP_FAILED, 1, 0), now)
            return

        parameters = board.journal.get("params")
        backup = json.dumps(parameters, sort_keys=True).encode()
        board.journal.set("backup", backup)
        self._dossier.enter(Phase.READY)
        self._dossier.report(
            What.READY,
            now,
            detail={
                "backup_sha256": hashlib.sha256(backup).digest(),
                "backup_bytes": len(backup),
                "battery_pct": board.battery.percent,
                "storage_free_bytes": board.storage_free_bytes,
            },
        )

    def _report_obstacle(self, obstacle: Obstacle, now: float) -> None:
        self._dossier.enter(Phase.ACCEPTED)
        self._dossier.report(
            What.NOT_READY, now, code=obstacle.code, detail={"needed": obstacle.needed, "found": obstacle.found}
        )
        self._watch = obstacle.code
        self._watch_at = self._next_look(now)

    def _next_look(self, now: float) -> float | None:
        if self._watch is Code.BATTERY_LOW:
            charged_at = self._board.battery.reaches(self._battery_needed_pct, now)
            return now + self._board.scaled(WATCH_S) if charged_at is None else charged_at
        if self._watch in {Code.UNSETTLED_BATCH, Code.BACKUP_FAILED}:
            return now + self._board.scaled(RETRY_S)
        return None

    def _look(self, now: float) -> None:
        if self._watch is Code.BATTERY_LOW and self._board.battery.percent < self._battery_needed_pct:
            again = self._next_look(now)
            self._watch_at = None if again is None else max(again, now + self._board.scaled(1.0))
            return
        self._cleared()

    @property
    def _battery_needed_pct(self) -> int:
        return battery_needed_pct(self._dossier.package, charging=self._board.battery.charging)

    def _cleared(self) -> None:
        self._watch = self._watch_at = None
        self.hello_wanted = True
