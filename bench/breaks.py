"""What a break costs: transfers cut at random bytes by lost power, lost radio, and ``kill -9`` of broker and gateway.

For each kind of break a house of its own (real Mosquitto, ``tillgate serve``, the simulator) sends one package to all
terminals, over links of different rates, a part of them at a time. Each terminal counts what came over the air; what exceeds
the package was sent again because of its breaks. docs/performance.md explains the figures.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from bench.rig.house import BenchError
from bench.rig.report import Cell, Report
from gateway.core.states import FINAL
from gateway.wire.messages import SEGMENT_BYTES
from tests.e2e.parcels import parcel, uploaded
from tests.harness.broker import Broker
from tests.harness.stage import Simulator, Stage

KINDS: Final = ("power", "radio", "broker", "gateway")
KILLS_AT: Final = ((0.1, 0.3), (0.4, 0.6), (0.7, 0.85))
"""Shares of all bytes at which broker or gateway die: a moment within each."""
RATES_BPS: Final = (800_000.0, 2_400_000.0)
SPEED: Final = 500.0  # boots, installations and self-tests are so much shorter than real ones
LOOK_S: Final = 0.25
GIVE_UP_S: Final = 180.0
_ENDED: Final = frozenset(state.value for state in FINAL)
_UP_BPS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is run, for each kind of break."""

    terminals: int
    at_once: int
    size_bytes: int
    kills: int


FULL: Final = Load(terminals=250, at_once=100, size_bytes=1 << 20, kills=3)
QUICK: Final = Load(terminals=24, at_once=24, size_bytes=3 << 17, kills=1)


@dataclass(slots=True)
class Watched:
    """One terminal as seen from sample to sample."""

    breaks: int = 0
    received_bytes: int = 0
    moved_at: float = 0.0
    """When bytes were last seen to have come."""
    broken_at: float | None = None
    back_s: list[float] = field(default_factory=list)
    marks: tuple[int, int] = (0, 0)
    """Power cuts and connections of the account that came last."""


class Watch:
    """Turns the terminals' accounts into breaks and the time that each took."""

    def __init__(self, kind: str, size_bytes: int) -> None:
        self.kind = kind
        self.size_bytes = size_bytes
        self.seen: dict[str, Watched] = {}

    def look(self, accounts: Iterable[Mapping[str, Any]], at: float) -> None:
        """One sample."""
        for account in accounts:
            one = self.seen.setdefault(account["id"], Watched())
            received, marks = int(account["received_bytes"]), (int(account["power_cuts"]), int(account["epoch"]))
            place = {"power": 0, "radio": 1}.get(self.kind)
            if place is not None and marks[place] > one.marks[place] and self._moving(one):
                # Power: seen while it is away. Radio: seen once it is back, so it went when bytes came last.
                self._broken(one, at if self.kind == "power" else one.moved_at)
            if received > one.received_bytes:
                if one.broken_at is not None and at > one.broken_at:
                    one.back_s.append(at - one.broken_at)
                    one.broken_at = None
                one.received_bytes, one.moved_at = received, at
            one.marks = marks

    def killed(self, at: float) -> None:
        """What all transfers share is gone."""
        for one in self.seen.values():
            if self._moving(one):
                self._broken(one, at)

    @property
    def received_share(self) -> float:
        """Of all bytes that are to come."""
        total = self.size_bytes * len(self.seen)
        return sum(min(one.received_bytes, self.size_bytes) for one in self.seen.values()) / total if total else 0.0

    def _moving(self, one: Watched) -> bool:
        return 0 < one.received_bytes < self.size_bytes

    @staticmethod
    def _broken(one: Watched, at: float) -> None:
        one.breaks += 1
        one.broken_at = at if one.broken_at is None else one.broken_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One kind of break, when all is over."""

    kind: str
    transfers: int
    cut: int
    """Transfers that were broken at least once."""
    breaks: int
    finished: int
    restarted: int
    repeated: int
    """Transfers in which any byte of a segment came after the terminal had verified that segment."""
    resent_bytes: Sequence[float]
    """Per break: a transfer's bytes beyond the package over its breaks."""
    back_s: Sequence[float]
    elapsed_s: float

    def row(self) -> Mapping[str, Cell]:
        """For the table."""
        return {
            "broken by": self.kind,
            "breaks": self.breaks,
            "transfers": self.transfers,
            "cut": self.cut,
            "finished": self.finished,
            "restarted": self.restarted,
            "verified bytes again": self.repeated,
            "sent again per break, bytes p50": quantile(self.resent_bytes, 0.5),
            "p95": quantile(self.resent_bytes, 0.95),
            "max": max(self.resent_bytes, default=math.nan),
            "back after s p50": quantile(self.back_s, 0.5),
            "s p95": quantile(self.back_s, 0.95),
            "run s": self.elapsed_s,
        }


def judge(watch: Watch, accounts: Mapping[str, Mapping[str, Any]], finished: int, elapsed_s: float) -> Outcome:
    """What the terminals' last accounts say.

    A transfer counts as restarted when as much as a whole verified segment came again, or more than one segment per break: then
    verified ones were lost. A single chunk of a verified segment, sent because its ack was lost, counts as ``repeated`` alone.
    """
    resent: list[float] = []
    restarted = repeated = total = 0
    for name, account in accounts.items():
        breaks = watch.seen[name].breaks if name in watch.seen else 0
        if watch.kind == "power":
            breaks = int(account["power_cuts"])  # none is missed between two samples
        excess = max(0, int(account["received_bytes"]) - watch.size_bytes)
        again = int(account["repeated_bytes"])
        repeated += again > 0
        restarted += again >= SEGMENT_BYTES or excess > max(1, breaks) * SEGMENT_BYTES
        total += breaks
        if breaks:
            resent.append(excess / breaks)
    return Outcome(
        kind=watch.kind,
        transfers=len(accounts),
        cut=len(resent),
        breaks=total,
        finished=finished,
        restarted=restarted,
        repeated=repeated,
        resent_bytes=resent,
        back_s=[took for one in watch.seen.values() for took in one.back_s],
        elapsed_s=elapsed_s,
    )


def quantile(values: Sequence[float], part: float) -> float:
    """The value that ``part`` of ``values`` do not exceed; not a number without any."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)] if values else math.nan


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few terminals and a small package: figures within a minute")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    load = QUICK if given.quick else FULL
    report = Report("breaks", given.seed, given.quick)
    outcomes: list[Outcome] = []
    for number, kind in enumerate(KINDS):
        with tempfile.TemporaryDirectory(prefix="tillgate-bench-") as folder:
            outcomes.append(_run(kind, load, Random(given.seed * len(KINDS) + number), Path(folder)))
    report.table("Breaks", [one.row() for one in outcomes])
    transfers = sum(one.transfers for one in outcomes)
    report.aim("transfers restarted from zero", sum(one.restarted for one in outcomes), "<=", 0)
    report.aim("transfers that were sent any bytes of a verified segment again", sum(one.repeated for one in outcomes), "<=", 0)
    report.aim(
        "bytes sent again per break, the most", max(max(one.resent_bytes, default=0.0) for one in outcomes), "<=", SEGMENT_BYTES
    )
    report.aim("share of transfers that finished", sum(one.finished for one in outcomes) / transfers, ">=", 1.0)
    report.aim("share of transfers that were cut", sum(one.cut for one in outcomes) / transfers, ">=", 0.5)
    return report.finish()


def _run(kind: str, load: Load, rng: Random, folder: Path) -> Outcome:
    broker = Broker(folder / "broker")
    with broker, Stage(folder / "stage", broker) as stage:
        names = broker.new_terminals(load.terminals)
        stage.start_gateway()
        simulator = stage.start_simulator(*(_group(name, kind, load, rng) for name in names), speed=SPEED)
        stage.register(names)
        _await_online(simulator, load.terminals)
        began = time.monotonic()
        campaign = stage.campaign(
            uploaded(stage, parcel(stage, size=load.size_bytes)), names, canaries=(), max_active=load.at_once, canary_count=0
        )
        watch = Watch(kind, load.size_bytes)
        finished = _watch(stage, simulator, watch, campaign, [rng.uniform(*span) for span in KILLS_AT[-load.kills :]], rng)
        elapsed_s = time.monotonic() - began
        accounts = simulator.finish()
    return judge(watch, accounts, finished, elapsed_s)


def _group(name: str, kind: str, load: Load, rng: Random) -> str:
    """One terminal: its link, and its own faults when it breaks by itself."""
    rate_bps = rng.uniform(*RATES_BPS)
    transfer_s = load.size_bytes * 8 / rate_bps
    dropouts_per_h = 3600 / transfer_s if kind == "radio" else 0.0
    text = f'ids = ["{name}"]\nmodel = "lakala-4g-esign"\nkeep_payload = false\n'
    text += (
        f"link = {{ bare = true, down_bps = {rate_bps:.0f}, up_bps = {_UP_BPS}, delay_ms = 20, jitter_ms = 5, "
        f"dropouts_per_h = {dropouts_per_h:.0f} }}\n"
    )
    if kind == "power":
        at = rng.randrange(load.size_bytes // 50, load.size_bytes * 49 // 50)
        text += f'[[group.faults.power_cuts]]\nat = "bytes"\nvalue = {at}\noff_s = [0.5, 1.5]\n'
    return text


def _watch(stage: Stage, simulator: Simulator, watch: Watch, campaign: str, kills_at: list[float], rng: Random) -> int:
    """Sample and kill until no upgrade is open; how many succeeded."""
    kills = kills_at if watch.kind in {"broker", "gateway"} else []
    give_up = time.monotonic() + GIVE_UP_S
    looked = 0.0
    while time.monotonic() < give_up:
        watch.look(simulator.accounts().values(), time.monotonic())
        if kills and watch.received_share >= kills[0]:
            kills.pop(0)
            _kill(stage, watch, rng)
        if time.monotonic() - looked > 1.0:
            looked = time.monotonic()
            if set(stage.states(campaign).values()) <= _ENDED:
                break
        time.sleep(LOOK_S)
    return sum(state == "succeeded" for state in stage.states(campaign).values())


def _kill(stage: Stage, watch: Watch, rng: Random) -> None:
    """``kill -9``, a moment of nothing, and a new start."""
    at = time.monotonic()
    stage.broker.kill() if watch.kind == "broker" else stage.kill_gateway()
    watch.killed(at)
    time.sleep(rng.uniform(0.2, 1.0))
    stage.broker.start() if watch.kind == "broker" else stage.start_gateway()


def _await_online(simulator: Simulator, count: int) -> None:
    give_up = time.monotonic() + 60.0
    while simulator.status.get("online", 0) < 0.9 * count:  # some always have no radio just then
        if time.monotonic() > give_up:
            raise BenchError(f"most terminals did not come online: {simulator.status}")
        time.sleep(LOOK_S)


if __name__ == "__main__":
    sys.exit(main())
