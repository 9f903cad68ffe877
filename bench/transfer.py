"""What a transfer leaves to payments, and what it takes of the link: ours beside four other ways, on five rates of bearer.

Real Mosquitto, a real gateway process, the simulator's terminals; only the bearer is arithmetic (``links/bearers.py``), and it
is the same for all ways: same rate at every moment, same stalls, same payments. docs/performance.md explains the table.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, get_args

from bench.links.fleet import SETTLE_S, Job
from bench.rig.house import BenchError, House
from bench.rig.meter import cpu_s
from bench.rig.report import Cell, Report, quantile
from gateway.config import Settings
from tests.harness.broker import Broker
from tests.harness.process import Process

ADDED_P95_MS: Final = 25.0
ADDED_P99_MS: Final = 100.0
LINK_USE: Final = 0.85
RESENT_PCT: Final = 0.5
PROTECTED_BPS: Final = 256_000
FASTER: Final = {1_000_000: 2.5, 10_000_000: 10.0}
MAX_PACKAGE_BYTES: Final = 192 << 20
SLACK_S: Final = 20.0
_POLL_S: Final = 0.1
SETTING: Final = "transfer_pacing"
#: What the gateway can be told to do, by its own list.
PACINGS: Final = get_args(Settings.model_fields[SETTING].annotation) if SETTING in Settings.model_fields else ("fixed",)
MARGIN: Final = 1.6  # a bearer's rate over the run may be above its mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to move a package. ``pacing`` is the gateway's setting; rivals have none."""

    name: str
    kind: str
    pacing: str = ""

    @property
    def brakes(self) -> bool:
        """Whether the terminal stops it while a payment runs."""
        return self.kind == "terminals"


OURS: Final = Way(name="ours", kind="terminals", pacing="delay")
WAIT: Final = Way(name="stop and wait, 4 KiB", kind="terminals", pacing="stop_and_wait")
WAYS: Final = (
    OURS,
    Way(name="fixed window, 64 KiB", kind="terminals", pacing="fixed"),
    WAIT,
    Way(name="128 KiB per request", kind="stream"),
    Way(name="HTTP download", kind="download"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is run: terminals by rate, and for how long."""

    terminals: Mapping[int, int]
    prepare_s: float
    duration_s: float
    ways: Sequence[Way]


FULL: Final = Load(
    terminals={96_000: 20, 256_000: 20, 1_000_000: 16, 4_000_000: 8, 10_000_000: 6}, prepare_s=40.0, duration_s=100.0, ways=WAYS
)
QUICK: Final = Load(terminals={256_000: 8, 1_000_000: 8}, prepare_s=15.0, duration_s=15.0, ways=(OURS,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One way on all rates: what each terminal counted, and the machine's share in it."""

    terminals: Sequence[Mapping[str, Any]]
    cpu: Mapping[str, float]

    def at(self, rate: int) -> list[Mapping[str, Any]]:
        """The terminals of one rate."""
        return [found for found in self.terminals if found["rate_bps"] == rate]


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rates, ours alone: figures within a minute")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="one way, by the start of its name")
    given = parser.parse_args()
    load = QUICK if given.quick else FULL
    ways = [way for way in (WAYS if given.only else load.ways) if way.name.startswith(given.only or "")]
    report = Report("transfer", given.seed, given.quick)
    for way in [way for way in ways if not _known(way)]:
        print(f"left out: {way.name}: this gateway has no {SETTING} = {way.pacing!r}")
        ways.remove(way)
    if not ways:
        return 2
    ran = {way.name: _run(way, load, given.seed) for way in ways}
    rows: list[Mapping[str, Cell]] = []
    for rate in load.terminals:
        alone = next(iter(ran.values()))
        rows.append(_nothing(rate, alone.at(rate)))
        rows += [_row(way, rate, ran[way.name].at(rate)) for way in ways]
    report.table("Transfers and payments", rows)
    report.table("The machine: CPUs in use while measuring", [{"way": name, **found.cpu} for name, found in ran.items()])
    _judge(report, load, rows)
    return report.finish()


def _run(way: Way, load: Load, seed: int) -> Ran:
    names = {f"b-{rate // 1000}-{number}": float(rate) for rate, count in load.terminals.items() for number in range(count)}
    with tempfile.TemporaryDirectory(prefix="tillgate-bench-") as text, ExitStack() as stack:
        folder = Path(text)
        if way.kind != "terminals":
            broker = stack.enter_context(Broker(folder / "broker"))
            broker.add_terminals(names)
            return _measure(way, load, seed, names, broker, folder, stack, {"broker": broker.pid})
        house = stack.enter_context(House(folder, list(names), seed=seed, settings=_settings(way)))
        longest_s = load.duration_s + load.prepare_s + SETTLE_S
        package = house.add_package(min(MAX_PACKAGE_BYTES, int(MARGIN * max(load.terminals) / 8 * longest_s)))
        terms = {"canary_count": 0, "max_active": len(names), "ask_merchant": False, "soak_s": 0, "health_every_s": 60}
        house.start_campaign(package, list(names), terms)
        return _measure(
            way, load, seed, names, house.broker, folder, stack, {"gateway": house.gateway_pid, "broker": house.broker.pid}
        )


def _known(way: Way) -> bool:
    """Whether this gateway can be told to work so; a way that it does not know is left out, never passed off as another."""
    return not way.pacing or way.pacing in PACINGS


def _settings(way: Way) -> Mapping[str, str | int]:
    """Before the gateway had the setting, the fixed window was all that it had."""
    return {SETTING: way.pacing} if SETTING in Settings.model_fields else {}


def _measure(
    way: Way,
    load: Load,
    seed: int,
    names: Mapping[str, float],
    broker: Broker,
    folder: Path,
    stack: ExitStack,
    pids: Mapping[str, int],
) -> Ran:
    """Start the terminals' process and wait for its result; CPU is counted over the measured time."""
    result = folder / "result.json"
    job = Job(
        kind=way.kind,
        seed=seed,
        prepare_s=load.prepare_s,
        duration_s=load.duration_s,
        rates_bps=names,
        host=broker.host,
        port=broker.port,
        password=broker.terminal_password(""),
        server_user=broker.gateway_user,
        server_password=broker.gateway_password,
        folder=str(folder),
        result=str(result),
    )
    (folder / "job.json").write_text(json.dumps(asdict(job)))
    argv = [sys.executable, "-m", "bench.links.fleet", str(folder / "job.json")]
    fleet = stack.enter_context(Process(argv, log=folder / "fleet.log"))
    used = {**pids, "terminals": fleet.pid}
    _await(Path(f"{result}.begun"), fleet, load.prepare_s + SETTLE_S + SLACK_S)
    begun, before = time.monotonic(), {name: cpu_s(pid) for name, pid in used.items()}
    time.sleep(load.duration_s - 0.5)
    spent_s = time.monotonic() - begun
    cpu = {name: (cpu_s(pid) - before[name]) / spent_s for name, pid in used.items()}
    _await(result, fleet, SLACK_S)
    return Ran(terminals=json.loads(result.read_text()), cpu={"gateway": 0.0, **cpu, "all, of 2": sum(cpu.values())})


def _await(file: Path, fleet: Process, timeout_s: float) -> None:
    give_up = time.monotonic() + timeout_s
    while not file.exists():
        if not fleet.running or time.monotonic() > give_up:
            raise BenchError(f"no {file.name}; the terminals said:\n{fleet.output[-3000:]}")
        time.sleep(_POLL_S)


def _nothing(rate: int, terminals: Sequence[Mapping[str, Any]]) -> Mapping[str, Cell]:
    """The payments of the first way on bearers that carry nothing else."""
    alone = [1000 * delay_s for found in terminals for _, delay_s in found["payments"]]
    return {
        "rate, kbit/s": f"{rate // 1000}",
        "way": "no transfer",
        "brakes": "-",
        "kB/s": 0.0,
        "link use": 0.0,
        "payments": len(alone),
        "delay p50, ms": quantile(alone, 0.5),
        "added p50": 0.0,
        "added p95": 0.0,
        "added p99": 0.0,
        "resent %": 0.0,
    }


def _row(way: Way, rate: int, terminals: Sequence[Mapping[str, Any]]) -> Mapping[str, Cell]:
    def total(key: str) -> float:
        return sum(float(found[key]) for found in terminals)

    with_it = [1000 * delay_s for found in terminals for delay_s, _ in found["payments"]]
    alone = [1000 * delay_s for found in terminals for _, delay_s in found["payments"]]
    framing = total("wire_bytes") / max(1, total("received_bytes"))
    added = {f"added p{percent}": quantile(with_it, percent / 100) - quantile(alone, percent / 100) for percent in (50, 95, 99)}
    return {
        "rate, kbit/s": f"{rate // 1000}",
        "way": way.name,
        "brakes": "yes" if way.brakes else "no",
        "kB/s": total("useful_bytes") / total("elapsed_s") / 1000,
        "link use": total("useful_bytes") * framing / total("capacity_bytes"),
        "payments": len(with_it),
        "delay p50, ms": quantile(with_it, 0.5),
        **added,
        "resent %": 100 * (1 - total("useful_bytes") / max(1, total("received_bytes"))),
    }


def _judge(report: Report, load: Load, rows: Sequence[Mapping[str, Cell]]) -> None:
    """The aims are ours alone; what was left out misses them."""

    def value(way: Way, rate: int, column: str) -> float:
        wanted = (way.name, f"{rate // 1000}")
        return next((float(row[column]) for row in rows if (row["way"], row["rate, kbit/s"]) == wanted), math.nan)

    for rate in load.terminals:
        where = f"{rate // 1000} kbit/s"
        report.aim(f"resent %, {where}", value(OURS, rate, "resent %"), "<=", RESENT_PCT)
        if rate >= PROTECTED_BPS:
            report.aim(f"added p95, ms, {where}", value(OURS, rate, "added p95"), "<=", ADDED_P95_MS)
            report.aim(f"added p99, ms, {where}", value(OURS, rate, "added p99"), "<=", ADDED_P99_MS)
            report.aim(f"link use, {where}", value(OURS, rate, "link use"), ">=", LINK_USE)
        if rate in FASTER and WAIT in load.ways:
            report.aim(
                f"times stop and wait, {where}", value(OURS, rate, "kB/s") / value(WAIT, rate, "kB/s"), ">=", FASTER[rate]
            )


if __name__ == "__main__":
    sys.exit(main())
