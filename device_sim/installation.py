"""Installation: from the order to the reboot into the spare slot, and the way back into the old one.

Waits for a payment to end, settles, writes and reads back the spare slot, then switches the bootloader and reports
installing in one durable step. What power interrupts before that step begins anew after the boot. ``proving`` takes over in
the new slot.
"""

from __future__ import annotations

import json
from typing import Final

from device_sim.board import Board
from device_sim.dossier import STAGE, Dossier
from device_sim.flash import Blob, Sealed
from device_sim.order_args import InstallArgs
from device_sim.preparation import battery_needed_pct
from device_sim.slots import Slots
from gateway.trust.manifest import check
from gateway.wire.codes import Code, Phase, What
from gateway.wire.messages import Plain, PlainMap

_SELFTEST_BATTERY_PCT: Final = 5  # below this the terminal would switch itself off in the middle


class Installation:
    """The writing of the spare slot, if it is under way."""

    __slots__ = ("_board", "_dossier", "_slots", "_write_at")

    def __init__(self, board: Board, dossier: Dossier, slots: Slots) -> None:
        self._board = board
        self._dossier = dossier
        self._slots = slots
        self._write_at: float | None = None

    def start(self, now: float) -> None:
        """After a boot: end a roll-back, or write again what power interrupted."""
        dossier = self._dossier
        phase = dossier.phase
        if self._slots.fell_back and phase in {Phase.INSTALLING, Phase.VERIFYING, Phase.SOAKING}:
            dossier.current.why = Code.BOOT_FAILED
            dossier.current.evidence = {"reason": self._slots.fell_back, "spare": self._slots.spare}
            self._finish_rollback(now)
        elif phase is Phase.ROLLING_BACK:
            self._finish_rollback(now)
        elif phase is Phase.INSTALLING and not self._slots.on_trial and not dossier.current.lied:
            self._begin(now)
        self._slots.settle()

    def order(self, args: InstallArgs, now: float) -> None:
        """Carry out an ``install`` order in phase staged."""
        record, manifest, board = self._dossier.current, self._dossier.package, self._board
        needed = max(battery_needed_pct(manifest, charging=board.battery.charging), _SELFTEST_BATTERY_PCT)
        if board.battery.percent < needed:
            detail: PlainMap = {"needed": needed, "found": board.battery.percent}
            self._dossier.report(What.FAILED, now, code=Code.BATTERY_LOW, detail=detail)
            return
        # the offer was checked against what ran then; another upgrade may have been committed meanwhile
        code = check(
            manifest, model=board.profile.model, components=self._slots.versions(self._slots.running), floors=floors(board)
        )
        if code is not Code.OK:
            self._dossier.report(What.FAILED, now, code=code)
            return

        record.soak_ms = int(args.soak_s * 1000)
        record.health_every_ms = max(1, int(args.health_every_s * 1000))
        record.boot_budget_ms = int(args.boot_budget_s * 1000)
        self._dossier.enter(Phase.INSTALLING)
        self._begin(now)

    @property
    def deadline(self) -> float | None:
        """When the slot is written, or ``None`` while a payment must end first."""
        return None if self._board.shop.in_transaction else self._write_at

    def on_time(self, now: float) -> None:
        """Write, check, switch and reboot when due."""
        if self._write_at is None or now < self._write_at or self._board.shop.in_transaction:
            return

        self._write_at = None
        self._board.shop.stop()
        self._board.shop.settle()
        if self._board.faults.lying_version:
            self._dossier.current.lied = True
        elif not self._write():
            self._board.shop.serve(now)
            self._dossier.enter(Phase.STAGED)
            self._dossier.report(What.FAILED, now, code=Code.INSTALL_FAILED, detail={"slot": self._slots.spare})
            return
        else:
            self._slots.try_spare()
        self._dossier.current.restarts = 0
        self._dossier.report(What.INSTALLING, now, detail={"slot": self._slots.spare})
        self._board.reboot_wanted = "install"

    def roll_back(self, code: Code, evidence: PlainMap) -> None:
        """Go back to the good slot by a reboot; what ``start`` then finds makes the report."""
        record = self._dossier.current
        record.why = code
        record.evidence = evidence
        self._slots.give_up()
        self._dossier.enter(Phase.ROLLING_BACK)
        self._board.reboot_wanted = "roll back"

    def _begin(self, now: float) -> None:
        board = self._board
        write_s = board.scaled(self._dossier.package.size_bytes / board.profile.flash_write_bps)
        settle_s = board.duration(board.profile.settle_s) if board.shop.unsettled_count else 0.0
        self._write_at = now + settle_s + write_s + board.duration(board.profile.install_s)

    def _write(self) -> bool:
        manifest = self._dossier.package
        blobs = [self._board.flash.read(STAGE, index) for index in range(len(manifest.segments))]
        whole = [blob for blob in blobs if blob is not None]
        if len(whole) < len(blobs):
            return False
        if self._board.fault.strikes("install", self._board.faults.install_failures):
            whole[0] = _flipped(whole[0])
        return self._slots.write_spare(whole, manifest.segments, manifest.component.value, manifest.version)

    def _finish_rollback(self, now: float) -> None:
        record, board = self._dossier.current, self._board
        restore_parameters(board)
        evidence: dict[str, Plain] = {**record.evidence, "slot": self._slots.running, "restarts": record.restarts}
        evidence["version"] = self._slots.versions(self._slots.running).get(self._dossier.package.component.value, "")
        self._dossier.forget_data()
        self._dossier.enter(Phase.DONE)
        self._dossier.report(What.ROLLED_BACK, now, code=record.why, detail=evidence)


def floors(board: Board) -> dict[str, int]:
    """Lowest release counter that may still be installed, by component."""
    found = board.journal.get("floors")
    return {str(name): floor for name, floor in found.items() if isinstance(floor, int)} if isinstance(found, dict) else {}


def _flipped(blob: Blob) -> Blob:
    """What a cell that does not keep one bit makes of a blob."""
    if isinstance(blob, Sealed):
        return Sealed(bytes(len(blob.sha256)), blob.size)
    return bytes([blob[0] ^ 0x01]) + blob[1:]


def restore_parameters(board: Board) -> None:
    """The parameters as they were backed up."""
    backup = board.journal.blob("backup")
    if backup:
        parameters: dict[str, str] = json.loads(backup)
        board.journal.set("params", dict(parameters))
