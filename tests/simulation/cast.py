"""What each kind of fault does to the cast before the story begins: what is wrong with a terminal, its shop or its package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from device_sim.faults import ALWAYS, CutAt, Faults, PowerCut
from device_sim.options import Battery, Merchant, Options, Shop
from gateway.wire.codes import Phase
from tests.simulation.faults import Fault, Kind
from tests.simulation.props import SIZE_BYTES
from tests.simulation.station import Station

#: Journal steps of an upgrade that nothing disturbs, with some to spare for one that is.
_STEPS: Final = 70
_PHASES: Final = tuple(Phase)
_TESTS: Final = ("payment", "refund", "query")
_PACKAGES: Final = {
    Kind.PACKAGE_FORGED: "forged",
    Kind.PACKAGE_FOREIGN: "foreign",
    Kind.PACKAGE_WITHDRAWN: "withdrawn",
    Kind.PACKAGE_OUTDATED: "outdated",
}


def package(own: Sequence[Fault]) -> str:
    """Which package a terminal with these faults is offered."""
    return next((_PACKAGES[fault.kind] for fault in own if fault.kind in _PACKAGES), "good")


def faults(own: Sequence[Fault]) -> Faults:
    """What is wrong with a terminal itself."""
    out = Faults(power_cuts=tuple(_cuts(own)))
    for fault in own:
        value = fault.value
        count = (1, 2, ALWAYS)[int(value * 3)]
        match fault.kind:
            case Kind.BOOT_LOOP:
                out = replace(out, boot_loop=1 + int(value * 4))
            case Kind.SELFTEST_FAILS:
                out = replace(out, selftest=_TESTS[int(value * 30) % 3], selftest_failures=count)
            case Kind.INSTALL_DAMAGED:
                out = replace(out, install_failures=1 + int(value * 4))
            case Kind.SEGMENT_DAMAGED:
                out = replace(out, bad_segments=1 + int(value * 7))
            case Kind.LYING_VERSION:
                out = replace(out, lying_version=True)
            case Kind.HEALTH_REGRESSES:
                out = replace(out, health_regressed_after=1 + int(value * 2))
            case Kind.BACKUP_FAILS:
                out = replace(out, backup_failures=1 + int(value * 2))
            case Kind.SETTLE_FAILS:
                out = replace(out, settle_failures=1 + int(value * 2))
            case Kind.GARBAGE:
                out = replace(out, garbage_every_s=11.0 + 60 * value)
            case _:
                pass
    return out


def _cuts(own: Sequence[Fault]) -> Iterator[PowerCut]:
    for fault in own:
        if fault.kind is Kind.POWER_AT_PHASE:
            yield PowerCut(at=CutAt.PHASE, phase=_PHASES[int(fault.value * len(_PHASES))])
        elif fault.kind is Kind.POWER_AT_BYTES:
            yield PowerCut(at=CutAt.BYTES, value=fault.value * SIZE_BYTES * 1.2)


def options(given: Options, own: Sequence[Fault]) -> Options:
    """What is wrong with the people and the shop round a terminal."""
    out = given
    for fault in own:
        match fault.kind:
            case Kind.BATTERY_LOW:
                plug_at_s = None if fault.value < 0.3 else 6000 * fault.value
                out = replace(out, battery=Battery(start_pct=15 + 10 * fault.value, plug_at_s=plug_at_s))
            case Kind.POSTPONED:
                out = replace(out, merchant=Merchant(answers=(f"postpone:{100 + 20_000 * fault.value:.0f}", "accept")))
            case Kind.DECLINED:
                out = replace(out, merchant=Merchant(answers=("decline",)))
            case Kind.SILENT:
                out = replace(out, merchant=Merchant(answers=("silent", "accept")))
            case Kind.PAYMENTS:
                every_s = 200.0 + 400 * fault.value
                out = replace(out, shop=Shop(payment_every_s=(every_s, every_s), unsettled_count=3))
            case _:
                pass
    return out


def prepare(station: Station, own: Sequence[Fault]) -> None:
    """Power cuts in the middle of journal steps, by their number."""
    for fault in own:
        if fault.kind is Kind.POWER_AT_STEP:
            step = fault.value * _STEPS
            station.flash.cuts[1 + int(step)] = step % 1.0
