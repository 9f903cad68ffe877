"""Everything that can be wrong with a terminal, as data; and what of it has happened already.

``Faults`` comes from the scenario and never changes. ``FaultState`` belongs to the world, not to the terminal: it survives
power cuts without being in flash. The firmware asks it ("does this write fail?"); it never acts by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from device_sim.outputs import Publish
from gateway.wire.codes import Phase

ALWAYS = -1  # a count that is never used up


class CutAt(StrEnum):
    """What a power cut waits for."""

    BYTES = "bytes"  # of package data received, in all
    PHASE = "phase"  # the upgrade has reached it
    TIME = "time"  # seconds after the first boot
    WRITTEN = "written"  # bytes written to flash since the first boot: in the middle of whatever is written then


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCut:
    """One power cut."""

    at: CutAt
    value: float = 0.0
    """Bytes or seconds, by ``at``."""
    phase: Phase = Phase.TRANSFERRING
    off_s: tuple[float, float] = (2.0, 5.0)
    """How long the power is away, in real seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Out of coverage again and again: on for ``fraction`` of each ``period_s``, beginning ``offset_s`` into a period."""

    period_s: float
    fraction: float
    offset_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Counts are how often; ``ALWAYS`` (-1) is without end."""

    power_cuts: tuple[PowerCut, ...] = ()
    boot_loop: int = 0
    """Boots of a new version that never come up."""
    selftest: str = ""
    """The self-test that fails: ``payment``, ``refund`` or ``query``."""
    selftest_failures: int = ALWAYS
    install_failures: int = 0
    """Writes into the spare slot that the read-back finds damaged."""
    backup_failures: int = 0
    settle_failures: int = 0
    bad_segments: int = 0
    """Segments damaged in memory before their hash is checked."""
    lying_version: bool = False
    """Reports the new version as booted and verified although it runs the old one."""
    health_regressed_after: int = 0
    """The health report from which on it says ``health_regressed``; 0: never."""
    clock_skew_s: float = 0.0
    """The real-time clock is ahead by this much."""
    duty: Duty | None = None
    garbage_every_s: float = 0.0
    """Publishes rubbish of many sorts this often; 0: never."""
    duplicate_p: float = 0.0
    """Chance that a message is sent twice."""


NO_FAULTS = Faults()


@dataclass(slots=True)
class FaultState:
    """What is left of the faults."""

    faults: Faults
    used: dict[str, int] = field(default_factory=dict)
    cuts_left: list[PowerCut] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cuts_left = [cut for cut in self.faults.power_cuts if cut.at is not CutAt.WRITTEN]

    def strikes(self, name: str, count: int) -> bool:
        """Whether the fault ``name``, of which there are ``count``, happens now; it is used up by asking."""
        if count != ALWAYS and self.used.get(name, 0) >= count:
            return False
        self.used[name] = self.used.get(name, 0) + 1
        return True

    def due_cut(self, *, received_bytes: int, phase: Phase | None, running_s: float) -> PowerCut | None:
        """The power cut that happens now, if any; each happens once."""
        for cut in self.cuts_left:
            if (
                (cut.at is CutAt.BYTES and received_bytes >= cut.value)
                or (cut.at is CutAt.PHASE and phase is cut.phase)
                or (cut.at is CutAt.TIME and running_s >= cut.value)
            ):
                self.cuts_left.remove(cut)
                return cut
        return None

    def next_timed_cut(self) -> float | None:
        """Seconds after the first boot of the earliest cut that waits for time."""
        return min((cut.value for cut in self.cuts_left if cut.at is CutAt.TIME), default=None)


_KINDS = ("presence", "hello", "report", "ack", "result", "log", "nonsense")


def rubbish(rng: Random, last: bytes) -> Publish:
    """One hostile message: noise, an unknown kind, a cut or repeated or bent copy of something real, or a huge one."""
    kind = rng.choice(_KINDS)
    choice = rng.randrange(6)
    if choice == 0:
        payload = rng.randbytes(rng.randrange(200))
    elif choice == 1:
        payload = last[: rng.randrange(len(last) + 1)]
    elif choice == 2:
        payload = last
    elif choice == 3:
        payload = bytes(byte ^ (rng.random() < 0.05) * 0x55 for byte in last)
    elif choice == 4:
        payload = b"\x81\xa1" * rng.randrange(1, 2000)
    else:
        payload = rng.randbytes(70_000) if rng.random() < 0.2 else b"\xdf\xff\xff\xff\xff"
    return Publish(kind, payload, qos=rng.randrange(2))
