"""The faults: their kinds, and what a seed deals. A story's faults are a plain list, so that a part of it can be replayed.

A fault says when, to whom, how hard (``value``, 0..1) and for how long; what it does is in ``strikes``. Adding a kind here and
there changes the stories of all seeds, which is no harm: seeds are not kept, breaches become tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final


class Kind(StrEnum):
    """What can go wrong."""

    # on the air of one terminal
    BREAK = "both connections break"
    BULK_BREAK = "the bulk connection breaks"
    HALF_OPEN = "half-open connections"
    NO_COVERAGE = "out of coverage"
    LOSE_UP = "messages to the gateway are lost"
    LOSE_DOWN = "messages to the terminal are lost"
    LOSE_CHUNKS = "chunks are lost"
    LOSE_ACKS = "acks are lost"
    BAD_CHUNKS = "chunks arrive damaged"
    DUPLICATE = "messages come twice"
    SLOW_TOPIC = "one topic lags behind the others"
    SLOW_LINK = "a link of 1 kB/s"
    LATE_WILL = "a will comes long after"
    # hostile
    REPLAYED_ORDER = "an old order comes again"
    FORGED_ORDER = "an order signed by a stranger"
    MISDIRECTED_ORDER = "an order for another terminal"
    # the broker
    BROKER_KILLED = "the broker dies, sessions kept"
    BROKER_WIPED = "the broker dies with its sessions"
    BROKER_STALLS = "the broker stalls"
    SESSION_LOST = "the broker forgets a session"
    QUEUE_NEWEST = "a full queue drops the newest"
    QUEUE_OLDEST = "a full queue drops the oldest"
    QUEUE_ALL = "a full queue drops everything"
    # the gateway
    KILLED = "the gateway is killed"
    KILLED_BEFORE = "the gateway dies before a commit"
    KILLED_AFTER = "the gateway dies after a commit"
    PAUSED = "the gateway pauses"
    ZOMBIE = "a paused gateway comes back beside its heir"
    CLONED = "two gateways on two copies of the store"
    LINK_LOST = "the gateway's control link breaks"
    BULK_LINK_LOST = "the gateway's bulk link breaks"
    CLOCK_AHEAD = "the gateway's clock jumps ahead"
    CLOCK_BEHIND = "the gateway's clock falls back"
    PACKAGE_UNREADABLE = "the package file cannot be read"
    # the store
    DISK_FULL = "the store's disk is full"
    STORE_SLOW = "commits take a second"
    STORE_UNREADABLE = "the store cannot be read"
    STORE_RESTORED = "the store is restored from a backup"
    COMMIT_IN_DOUBT = "a commit is done and says it failed"
    # the terminal
    POWER_CUT = "power cut"
    POWER_AT_STEP = "power cut in a journal step"
    POWER_AT_PHASE = "power cut on reaching a phase"
    POWER_AT_BYTES = "power cut at a byte received"
    CLOCK_STEPS = "the terminal's clock steps"
    BOOT_LOOP = "the new version does not boot"
    SELFTEST_FAILS = "a self-test fails"
    INSTALL_DAMAGED = "the slot is written badly"
    SEGMENT_DAMAGED = "segments are damaged in memory"
    LYING_VERSION = "claims a version that it does not run"
    HEALTH_REGRESSES = "health gets worse"
    BACKUP_FAILS = "the backup fails"
    SETTLE_FAILS = "the batch cannot be settled"
    GARBAGE = "sends rubbish"
    STORAGE_FULL = "the terminal's storage is full"
    BATTERY_LOW = "the battery is low"
    # people
    POSTPONED = "the merchant postpones"
    DECLINED = "the merchant declines"
    SILENT = "the merchant does not answer"
    PAYMENTS = "payments all the time"
    CANCELLED = "the campaign is aborted"
    INSPECT = "the operator asks how it is"
    REBOOT = "the operator reboots it"
    # packages that nobody may install, offered all the same
    PACKAGE_FORGED = "a package signed by a stranger"
    PACKAGE_FOREIGN = "a package for another model"
    PACKAGE_WITHDRAWN = "a package below the floor"
    PACKAGE_OUTDATED = "a package of an older version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a story."""

    number: int
    kind: Kind
    at_s: float
    """After the start."""
    terminal: int
    """Index of the terminal that it concerns, if it concerns one."""
    value: float
    for_s: float

    def __str__(self) -> str:
        return f"{self.number}: {self.kind} (T{self.terminal}, at {self.at_s:.1f} s, for {self.for_s:.1f} s, {self.value:.3f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a seed deals: the cast and its faults."""

    seed: int
    terminals: int
    models: tuple[int, ...]
    singles: tuple[bool, ...]
    """Which of the terminals have one connection for everything."""
    credits: tuple[int, ...]
    """Bytes that each terminal takes beyond what it holds."""
    delay_s: float
    rate_bps: float
    faults: tuple[Fault, ...]


_PACKAGES: Final = (Kind.PACKAGE_FORGED, Kind.PACKAGE_FOREIGN, Kind.PACKAGE_WITHDRAWN, Kind.PACKAGE_OUTDATED)
#: Of which a story has few, or it would hold little else.
_RARE: Final = frozenset({*_PACKAGES, Kind.LYING_VERSION, Kind.DECLINED, Kind.GARBAGE, Kind.SILENT})
KINDS: Final = tuple(Kind)
#: An upgrade that nothing disturbs takes so long; half of the faults come while it is asked and transferred.
_EARLY_S: Final = 30.0
_LATE_S: Final = 240.0


def deal(seed: int) -> Story:
    """The story of a seed."""
    rng = Random(seed)
    terminals = rng.choice((1, 1, 2))
    faults: list[Fault] = []
    for number in range(rng.choice((2, 3, 4, 6, 8, 11))):
        kind = rng.choice(KINDS)
        if kind in _RARE and rng.random() < 0.5:
            kind = rng.choice(KINDS)
        faults.append(
            Fault(
                number=number,
                kind=kind,
                at_s=rng.uniform(0.0, rng.choice((_EARLY_S, _LATE_S))),
                terminal=rng.randrange(terminals),
                value=rng.random(),
                for_s=rng.choice((2.0, 20.0, 120.0)) * rng.uniform(0.3, 1.0),
            )
        )
    return Story(
        seed=seed,
        terminals=terminals,
        models=tuple(rng.randrange(2) for _ in range(terminals)),
        singles=tuple(rng.random() < 0.2 for _ in range(terminals)),
        credits=tuple(rng.choice((8, 32, 256)) * 1024 for _ in range(terminals)),
        delay_s=rng.choice((0.02, 0.08, 0.4)),
        rate_bps=rng.choice((20_000.0, 60_000.0, 500_000.0)),
        faults=tuple(faults),
    )
