"""What a chunk costs the gateway: one process, hundreds of terminals with real MQTT sessions, a real broker between them.

Two campaigns run on one gateway. ``fleet`` upgrades all terminals at once with a small package: there the orders, reports,
signatures and commits of each upgrade weigh more than its few chunks. ``steady`` sends a larger package to fewer terminals:
there the chunks weigh. Before them the broker alone is measured with messages of the same size. docs/performance.md explains
the figures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.rig.house import BenchError, House, Sample
from bench.rig.raw import RawRate, measure
from bench.rig.report import Cell, Report
from gateway.wire.codec import encode_chunk

CHUNK_BYTES: Final = 16 * 1024
SAMPLE_S: Final = 0.2
SPEED: Final = 1000.0  # boots, installations and self-tests of the terminals are so much shorter than real ones
CHUNKS_PER_CPU_S: Final = 8000
RSS_PER_TRANSFER_KB: Final = 20
#: What a chunk's other fields take, with numbers of usual size.
ENVELOPE_BYTES: Final = (
    len(encode_chunk(transfer=1, number=1 << 40, index=1 << 10, stamp_ms=1 << 40, data=bytes(CHUNK_BYTES))) - CHUNK_BYTES
)
#: Upgraded before anything is measured, so that what the gateway pays once (statements, caches, modules) is no transfer's.
WARM_TERMINALS: Final = 16
_LOOK_S: Final = 1.0
_GIVE_UP_S: Final = 300.0
_MARGIN: Final = 0.1  # share of the chunks left out at either end of the steady state


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is run."""

    terminals: int
    fleet_bytes: int
    steady_terminals: int
    steady_bytes: int
    raw_s: float


FULL: Final = Load(terminals=500, fleet_bytes=256 * 1024, steady_terminals=64, steady_bytes=16 << 20, raw_s=5.0)
QUICK: Final = Load(terminals=500, fleet_bytes=256 * 1024, steady_terminals=64, steady_bytes=4 << 20, raw_s=2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One campaign from its start to its last final upgrade, as sampled."""

    samples: Sequence[Sample]
    upgraded: int
    entries: int

    def part(self, low: float, high: float) -> tuple[Sample, Sample]:
        """The samples between which the given shares of all chunks went out."""
        sent = [sample.count("chunks_sent") for sample in self.samples]
        total = sent[-1] - sent[0]
        first = bisect_left(sent, sent[0] + max(1, int(low * total))) - (low == 0)
        last = bisect_left(sent, sent[0] + int(high * total))
        return self.samples[max(0, first)], self.samples[max(last, first + 1)]


@dataclass(frozen=True, slots=True)
class Cost:
    """What happened between two samples, and what it cost."""

    first: Sample
    last: Sample

    @property
    def elapsed_s(self) -> float:
        """Time."""
        return self.last.at - self.first.at

    @property
    def cpu_s(self) -> float:
        """CPU time of the gateway; at least one step of its clock."""
        return max(self.last.cpu_s - self.first.cpu_s, 0.01)

    @property
    def payload_bytes(self) -> int:
        """Bytes of packages sent."""
        return self.count("chunk_bytes") - ENVELOPE_BYTES * self.count("chunks_sent")

    @property
    def full_chunks(self) -> float:
        """Those bytes in chunks of 16 KiB, whatever size each chunk had: smaller ones must not count for more."""
        return self.payload_bytes / CHUNK_BYTES

    @property
    def full_chunks_per_cpu_s(self) -> float:
        """The figure that has an aim."""
        return self.full_chunks / self.cpu_s

    def count(self, name: str) -> int:
        """How far a counter has risen."""
        return self.last.count(name) - self.first.count(name)

    def row(self) -> Mapping[str, Cell]:
        """For the table."""
        return {
            "s": self.elapsed_s,
            "CPU s": self.cpu_s,
            "MB": self.payload_bytes / 1e6,
            "chunks": self.count("chunks_sent"),
            "chunks/s": self.count("chunks_sent") / self.elapsed_s,
            "acks/s": self.count("in:ack") / self.elapsed_s,
            "rows/s": self.count("rows") / self.elapsed_s,
            "CPU ms/MB": 1000 * self.cpu_s / max(self.payload_bytes / 1e6, 0.001),
            "16 KiB chunks/CPU s": self.full_chunks_per_cpu_s,
        }


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller steady part: figures within a minute")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    load = QUICK if given.quick else FULL
    report = Report("engine", given.seed, given.quick)
    names = [f"b-{number:04}" for number in range(load.terminals)]
    warm = [f"w-{number:02}" for number in range(WARM_TERMINALS)]
    with (
        tempfile.TemporaryDirectory(prefix="tillgate-bench-") as folder,
        House(Path(folder), names + warm, seed=given.seed) as house,
    ):
        raw = measure(house.broker, names[0], CHUNK_BYTES, load.raw_s)
        house.start_terminals(speed=SPEED)
        _run(house, warm, load.fleet_bytes)
        time.sleep(2.0)  # the welcomes are out, the commits are done
        idle = house.sample()
        fleet = _run(house, names, load.fleet_bytes)
        steady = _run(house, names[: load.steady_terminals], load.steady_bytes)
    _judge(report, load, raw, idle, fleet, steady)
    return report.finish()


def _run(house: House, names: Sequence[str], size_bytes: int) -> Run:
    """One campaign over ``names``, all at once, sampled every ``SAMPLE_S``."""
    package = house.add_package(size_bytes)
    terms = {
        "canary_count": 0,
        "max_active": len(names),
        "ask_merchant": False,
        "soak_s": 0,
        "health_every_s": 60,
        "first_chunk_kib": CHUNK_BYTES // 1024,
    }
    samples = [house.sample()]
    campaign = house.start_campaign(package, names, terms)
    give_up = time.monotonic() + _GIVE_UP_S
    looked_at = time.monotonic()
    while True:
        time.sleep(SAMPLE_S)
        samples.append(house.sample())
        if time.monotonic() - looked_at < _LOOK_S:
            continue
        looked_at = time.monotonic()
        progress = house.campaign(campaign)
        if progress["state"] == "finished":
            break
        if looked_at > give_up or progress["state"] != "running":
            raise BenchError(f"campaign {progress['state']}: {progress}")
    [(entries, ended_us)] = house.query(
        "SELECT count(*), max(at_us) FROM ledger WHERE campaign = ? AND upgrade != ''", campaign
    )
    [(upgraded,)] = house.query("SELECT count(*) FROM upgrades WHERE campaign = ? AND state = 'succeeded'", campaign)
    last = bisect_left([sample.at for sample in samples], ended_us / 1e6)
    return Run(samples=samples[: last + 1], upgraded=upgraded, entries=entries)


def _judge(report: Report, load: Load, raw: RawRate, idle: Sample, fleet: Run, steady: Run) -> None:
    small = f"fleet, {load.terminals} x {load.fleet_bytes >> 10} KiB"
    large = f"steady, {load.steady_terminals} x {load.steady_bytes >> 20} MiB"
    middle = Cost(*steady.part(_MARGIN, 1 - _MARGIN))
    parts = {
        f"{small}: campaign": Cost(fleet.samples[0], fleet.samples[-1]),
        f"{small}: first chunk to last": Cost(*fleet.part(0, 1)),
        f"{large}: campaign": Cost(steady.samples[0], steady.samples[-1]),
        f"{large}: middle of the chunks": middle,
    }
    report.table("Gateway", [{"part": name, **cost.row()} for name, cost in parts.items()])
    report.table("Upgrades", [_upgrades(small, fleet, load.terminals), _upgrades(large, steady, load.steady_terminals)])
    memory = _memory(idle, fleet)
    report.table("Memory of the gateway", [memory])
    report.table(
        "The broker alone, one sender to one receiver",
        [
            {
                "messages of 16 KiB": raw.messages,
                "per s": raw.per_s,
                "per broker CPU s": raw.per_cpu_s,
                "gateway/broker, per s": middle.full_chunks / middle.elapsed_s / raw.per_s,
                "gateway/broker, per CPU s": middle.full_chunks_per_cpu_s / raw.per_cpu_s,
            }
        ],
    )
    report.aim("16 KiB chunks per gateway CPU second, steady", middle.full_chunks_per_cpu_s, ">=", CHUNKS_PER_CPU_S)
    report.aim("kB of RSS per active transfer", float(memory["kB per open transfer"]), "<=", RSS_PER_TRANSFER_KB)
    report.aim("share of upgrades that succeeded", fleet.upgraded / load.terminals, ">=", 1.0)


def _upgrades(name: str, run: Run, terminals: int) -> Mapping[str, Cell]:
    cost = Cost(run.samples[0], run.samples[-1])
    return {
        "campaign": name,
        "succeeded": f"{run.upgraded} of {terminals}",
        "upgraded/s": run.upgraded / cost.elapsed_s,
        "ledger entries/s": run.entries / cost.elapsed_s,
        "ledger entries each": run.entries / terminals,
        "CPU ms each": 1000 * cost.cpu_s / terminals,
    }


def _memory(idle: Sample, fleet: Run) -> Mapping[str, Cell]:
    """At the moment with the most transfers open; of several such moments the one with the most memory."""
    peak = max(fleet.samples, key=lambda sample: (sample.count("transfers_open"), sample.rss_bytes))
    open_count = peak.count("transfers_open")
    return {
        "sessions": idle.count("sessions"),
        "MB, all idle": idle.rss_bytes / 1e6,
        "open transfers": open_count,
        "MB, all open": peak.rss_bytes / 1e6,
        "kB per open transfer": (peak.rss_bytes - idle.rss_bytes) / 1e3 / max(1, open_count),
    }


if __name__ == "__main__":
    sys.exit(main())
