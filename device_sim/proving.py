"""Proving: the new version's boot, its self-tests within the boot budget, the soak with its health reports, and the commit.

Success is only what happens here after a boot: a failing self-test, an exceeded budget or an order sends the terminal back
by way of ``installation.roll_back``. Until the self-tests have passed, the shop takes no payments.
"""

from __future__ import annotations

from typing import Final

from device_sim.board import Board
from device_sim.dossier import Dossier
from device_sim.faults import ALWAYS
from device_sim.installation import Installation, floors
from device_sim.slots import Slots
from gateway.wire.codes import Code, Phase, What
from gateway.wire.messages import Plain

_FAILED: Final = {
    "payment": Code.SELFTEST_PAYMENT_FAILED,
    "refund": Code.SELFTEST_REFUND_FAILED,
    "query": Code.SELFTEST_QUERY_FAILED,
}


class Proving:
    """Self-tests or soak, whichever is under way."""

    __slots__ = (
        "_board",
        "_booted_at",
        "_dossier",
        "_durations_ms",
        "_health_at",
        "_installation",
        "_slots",
        "_test_ends_at",
        "_todo",
    )

    def __init__(self, board: Board, dossier: Dossier, slots: Slots, installation: Installation) -> None:
        self._board = board
        self._dossier = dossier
        self._slots = slots
        self._installation = installation
        self._booted_at = 0.0
        self._todo: list[str] = []
        self._durations_ms: dict[str, int] = {}
        self._test_ends_at: float | None = None
        self._health_at: float | None = None

    @property
    def testing(self) -> bool:
        """Whether self-tests run, so that the shop must wait."""
        return bool(self._todo)

    def start(self, now: float) -> None:
        """After a boot: say that the new version has booted and test it, or go on soaking."""
        phase, dossier = self._dossier.phase, self._dossier
        self._booted_at = now
        runs_it = self._slots.on_trial or (dossier.record is not None and dossier.record.lied)
        if phase is Phase.INSTALLING and runs_it:
            self._mark_parameters()
            dossier.enter(Phase.VERIFYING)
            dossier.report(What.BOOTED, now, detail={"version": self._claimed, "slot": self._slots.running})
            self._begin_tests(now)
        elif phase is Phase.VERIFYING:
            dossier.current.restarts += 1
            dossier.save()
            self._begin_tests(now)
        elif phase is Phase.SOAKING:
            dossier.current.restarts += 1
            dossier.save()
            self._health_at = now + dossier.current.health_every_ms / 1000

    def commit(self, now: float) -> None:
        """Carry out a ``commit`` order in phase soaking."""
        manifest, board = self._dossier.package, self._board
        self._health_at = None
        self._slots.commit()
        raised: dict[str, Plain] = {**floors(board)}
        name = manifest.component.value
        raised[name] = max(floors(board).get(name, 0), manifest.counter)
        board.journal.set("floors", raised)
        self._dossier.forget_data()
        self._dossier.enter(Phase.DONE)
        self._dossier.report(What.COMMITTED, now, detail={"version": self._claimed})

    def stop(self) -> None:
        """A roll-back was ordered."""
        self._todo = []
        self._test_ends_at = self._health_at = None

    def health(self, now: float) -> dict[str, Plain]:
        """The numbers of a health report; also what ``inspect`` gives."""
        record, shop = self._dossier.record, self._board.shop
        return {
            "battery_pct": self._board.battery.percent,
            "payments_ok": shop.ok_count - (record.ok_before if record else 0),
            "payments_failed": shop.failed_count - (record.failed_before if record else 0),
            "restarts": record.restarts if record else 0,
            "uptime_s": int(now - self._booted_at),
        }

    @property
    def deadline(self) -> float | None:
        """When a test ends, the budget is used up, or a health report is due."""
        if self._test_ends_at is not None:
            return min(self._test_ends_at, self._budget_ends_at)
        return self._health_at

    def on_time(self, now: float) -> None:
        """Do what is due."""
        if self._test_ends_at is not None and now >= self._test_ends_at:
            self._end_test(now)
        elif self._test_ends_at is not None and now >= self._budget_ends_at:
            self._back(Code.BOOT_FAILED, {"reason": "boot_budget", "budget_ms": self._dossier.current.boot_budget_ms})
        if self._health_at is not None and now >= self._health_at:
            self._report_health(now)

    @property
    def _claimed(self) -> str:
        manifest = self._dossier.package
        if self._dossier.current.lied:
            return manifest.version
        return self._slots.versions(self._slots.running).get(manifest.component.value, "")

    @property
    def _budget_ends_at(self) -> float:
        return self._booted_at + self._dossier.current.boot_budget_ms / 1000

    def _begin_tests(self, now: float) -> None:
        self._todo = list(self._board.profile.selftest_s)
        self._durations_ms = {}
        self._next_test(now)

    def _next_test(self, now: float) -> None:
        test_s = self._board.duration(self._board.profile.selftest_s[self._todo[0]])
        self._durations_ms[f"{self._todo[0]}_ms"] = int(test_s * 1000)
        self._test_ends_at = now + test_s

    def _end_test(self, now: float) -> None:
        faults = self._board.faults
        name = self._todo.pop(0)
        self._test_ends_at = None
        if name == faults.selftest and self._board.fault.strikes("selftest", faults.selftest_failures):
            self._back(_FAILED[name], {"test": name, **self._durations_ms, "tried": self._claimed})
        elif self._todo:
            self._next_test(now)
        else:
            self._prove(now)

    def _prove(self, now: float) -> None:
        record, shop = self._dossier.current, self._board.shop
        self._slots.prove()
        record.health_count = 0
        record.ok_before, record.failed_before = shop.ok_count, shop.failed_count
        self._dossier.enter(Phase.SOAKING)
        self._dossier.report(What.VERIFIED, now, detail={**self._durations_ms, "version": self._claimed})
        self._health_at = now + record.health_every_ms / 1000
        shop.serve(now)

    def _report_health(self, now: float) -> None:
        record, faults = self._dossier.current, self._board.faults
        record.health_count += 1
        bad = faults.health_regressed_after not in {0, ALWAYS} and record.health_count >= faults.health_regressed_after
        detail = self.health(now)
        if bad:
            detail["payments_failed"] = record.health_count * 3
        self._dossier.report(What.HEALTH, now, code=Code.HEALTH_REGRESSED if bad else Code.OK, detail=detail)
        self._health_at = now + record.health_every_ms / 1000

    def _back(self, code: Code, evidence: dict[str, Plain]) -> None:
        self.stop()
        self._installation.roll_back(code, evidence)

    def _mark_parameters(self) -> None:
        """A new version converts the parameters; a roll-back must undo it."""
        found = self._board.journal.get("params")
        converted: dict[str, Plain] = dict(found) if isinstance(found, dict) else {}
        converted["converted_by"] = self._claimed
        self._board.journal.set("params", converted)
