"""What a broker's death costs a fleet in the middle of a campaign: ``kill -9`` under all sessions, and everybody comes back.

Real Mosquitto under the shipped configuration, one gateway as ``tillgate serve`` starts it, the simulator's swarm by the
protocol's own waits. Who is back, and who was sent orders again, is read from the gateway's store; the simulator says for
itself who is connected. docs/performance.md explains the figures.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.rig.house import BenchError, House, Sample
from bench.rig.report import Cell, Report, quantile

SPEED: Final = 1000.0  # boots, installations and self-tests of the terminals are so much shorter than real ones
#: From the death of the broker to its new start; most terminals have tried in vain by then.
DOWN_S: Final = 5.0
#: It dies when this share of the upgrades has ended: between the two, at the first look at which transfers are open.
STRUCK_AT: Final = (0.3, 0.5)
#: For how many of those that may be under way at once.
TRANSFERRING: Final = 0.05
BACK_SHARE: Final = 0.99
BACK_S: Final = 60.0
#: What is counted per second is counted over so long: a burst of one second's admissions is allowed (core/admission.py).
WINDOW_S: Final = 5.0
#: Above rate and burst together, for looking at the store only now and then.
MARGIN: Final = 1.05
LOOK_S: Final = 0.25
_GIVE_UP_S: Final = 200.0
_BURST_S: Final = 1.0
_WORDS: Final = ("limited:", "shed:", "births_held", "handle_failed", "store_failed", "control_unsent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is run."""

    terminals: int
    at_once: int
    size_bytes: int
    births_per_s: int


FULL: Final = Load(terminals=5000, at_once=1000, size_bytes=128 << 10, births_per_s=200)
QUICK: Final = Load(terminals=500, at_once=50, size_bytes=128 << 10, births_per_s=50)


@dataclass(frozen=True, slots=True)
class Row:
    """A terminal as the gateway's store has it."""

    terminal: str
    epoch: int
    online: bool
    counter: int
    """Orders that it was ever sent."""


class Storm:
    """Turns looks at the store into the moments at which each terminal was back, and was sent an order again."""

    def __init__(self, before: Iterable[Row], struck_at: float) -> None:
        """``before``: the last look while all was well; times in Unix seconds."""
        self.before = {row.terminal: row for row in before}
        self.struck_at = struck_at
        self.back_at: dict[str, float] = {}
        self.ordered_at: dict[str, float] = {}
        self._counter = {row.terminal: row.counter for row in self.before.values()}

    def look(self, rows: Iterable[Row], at: float) -> None:
        """One look at the store."""
        for row in rows:
            name = row.terminal
            if row.epoch <= self.before[name].epoch:
                self._counter[name] = row.counter  # orders that were made while nobody could hear them
                continue
            if row.online:
                self.back_at.setdefault(name, at)
            if row.counter > self._counter[name]:
                self.ordered_at.setdefault(name, at)

    def in_vain(self, terminal: str) -> int:
        """Orders for it that were made while the broker was away: it never saw them."""
        return self._counter[terminal] - self.before[terminal].counter

    @property
    def back_s(self) -> float:
        """How long after the strike the share that counts was back; not a number when it never was."""
        times = sorted(self.back_at.values())
        needed = math.ceil(BACK_SHARE * len(self.before))
        return times[needed - 1] - self.struck_at if len(times) >= needed else math.nan


def most_per_s(times: Iterable[float], window_s: float = WINDOW_S) -> float:
    """The most events per second in any ``window_s``."""
    ordered = sorted(times)
    counts = (place + 1 - bisect_right(ordered, at - window_s) for place, at in enumerate(ordered))
    return max(counts, default=0) / window_s


def steepest_per_s(samples: Sequence[tuple[float, int]], window_s: float = WINDOW_S) -> float:
    """The most that a counter rose per second between any two samples that are ``window_s`` apart."""
    times = [at for at, _ in samples]
    found = 0.0
    for at, count in samples:
        place = bisect_right(times, at - window_s) - 1
        if place >= 0:
            found = max(found, (count - samples[place][1]) / (at - times[place]))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All of a run."""

    storm: Storm
    up_at: float
    """When the broker was started again."""
    ended_at: float
    samples: Sequence[Sample]
    """From the start of the campaign on."""
    online: Sequence[tuple[float, int]]
    """How many terminals the simulator says are connected, or in a boot of their own, second by second."""
    struck: Mapping[str, int]
    """States of the upgrades when the broker died."""
    states: Mapping[str, int]
    """And at the end."""
    attempts_lost: int
    sent: Mapping[str, int]
    """Orders made for each terminal in all."""
    undisturbed: int
    """Orders that an upgrade takes which nothing disturbs."""

    @property
    def simulator_back_s(self) -> float:
        """As ``Storm.back_s``, by the simulator's word."""
        needed = BACK_SHARE * len(self.storm.before)
        return next((at for at, count in self.online if at > self.up_at and count >= needed), math.nan) - self.storm.struck_at

    def again(self) -> list[int]:
        """Orders that each terminal was sent beyond those of an undisturbed upgrade."""
        return [count - self.undisturbed - self.storm.in_vain(name) for name, count in self.sent.items()]

    def after(self, at: float) -> list[Sample]:
        """The samples from then on."""
        return [sample for sample in self.samples if sample.at >= at]


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="500 terminals: figures within a minute")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    load = QUICK if given.quick else FULL
    report = Report("storm", given.seed, given.quick)
    with tempfile.TemporaryDirectory(prefix="tillgate-bench-") as folder:
        outcome = _run(load, given.seed, Path(folder))
    _judge(report, load, outcome)
    return report.finish()


def _run(load: Load, seed: int, folder: Path) -> Outcome:
    names = [f"s-{number:05}" for number in range(load.terminals)]
    status = folder / "status.jsonl"
    with House(folder, names, seed=seed, settings={"births_per_s": load.births_per_s}) as house:
        house.start_terminals(speed=SPEED, reconnect_base_s=1.0, status=status)
        terms = {
            "canary_count": 0,
            "max_active": load.at_once,
            "ask_merchant": False,
            "soak_s": 0,
            "health_every_s": 60,
            "failure_min": load.terminals,
        }
        samples: list[Sample] = []
        campaign = house.start_campaign(house.add_package(load.size_bytes), names, terms)
        give_up = time.monotonic() + _GIVE_UP_S
        while (share := _ended(house, campaign) / load.terminals) < STRUCK_AT[1]:
            if samples and share >= STRUCK_AT[0] and _transferring(samples[-1], load):
                break
            _again(samples, house, give_up)
        before, struck = _rows(house), _states(house, campaign)
        undisturbed = _fewest(house, campaign)
        house.broker.kill()
        storm = Storm(before, time.time())
        time.sleep(DOWN_S)
        up_at = time.time()
        house.broker.start()
        while house.campaign(campaign)["state"] != "finished":
            _again(samples, house, give_up)
            storm.look(_rows(house), time.time())
        samples.append(house.sample())
        [(attempts_lost,)] = house.query("SELECT sum(max(attempt, 1) - 1) FROM upgrades WHERE campaign = ?", campaign)
        return Outcome(
            storm=storm,
            up_at=up_at,
            ended_at=samples[-1].at,
            samples=samples,
            online=[_present(line) for line in map(json.loads, status.read_text().splitlines())],
            struck=struck,
            states=_states(house, campaign),
            attempts_lost=attempts_lost,
            sent={row.terminal: row.counter for row in _rows(house)},
            undisturbed=undisturbed,
        )


def _again(samples: list[Sample], house: House, give_up: float) -> None:
    """One more sample, a moment later."""
    samples.append(house.sample())
    if time.monotonic() > give_up:
        raise BenchError(f"the campaign does not end: {dict(samples[-1].counters)}")
    time.sleep(LOOK_S)


def _present(line: Mapping[str, Any]) -> tuple[float, int]:
    return line["at"], line["online"] + line["phases"].get("booting", 0)


def _rows(house: House) -> list[Row]:
    found = house.query("SELECT id, epoch, online, counter FROM terminals")
    return [Row(name, epoch, bool(online), counter) for name, epoch, online, counter in found]


def _states(house: House, campaign: str) -> dict[str, int]:
    return dict(house.query("SELECT state, count(*) FROM upgrades WHERE campaign = ? GROUP BY state", campaign))


def _transferring(sample: Sample, load: Load) -> bool:
    """Whether the broker's death would cost something."""
    return sample.count("transfers_open") >= TRANSFERRING * load.at_once


def _ended(house: House, campaign: str) -> int:
    [(count,)] = house.query("SELECT count(*) FROM upgrades WHERE campaign = ? AND state = 'succeeded'", campaign)
    return int(count)


def _fewest(house: House, campaign: str) -> int:
    """The fewest orders with which a terminal has come through."""
    [(count,)] = house.query(
        "SELECT min(t.counter) FROM terminals t JOIN upgrades u ON u.terminal = t.id "
        "WHERE u.campaign = ? AND u.state = 'succeeded'",
        campaign,
    )
    return int(count)


def _judge(report: Report, load: Load, outcome: Outcome) -> None:
    storm, again = outcome.storm, outcome.again()
    storm_samples = outcome.after(outcome.up_at)
    down_s = outcome.up_at - storm.struck_at
    report.table(
        f"The broker dies under {load.terminals} sessions and is back after {down_s:.1f} s",
        [
            _row("99 % back, the gateway's store", "s after the death", storm.back_s),
            _row("99 % back, the simulator", "s after the death", outcome.simulator_back_s),
            _row("campaign ended", "s after the death", outcome.ended_at - storm.struck_at),
            _row("terminals that were sent orders again", "", len(storm.ordered_at)),
            _row("... per second, the most", f"over {WINDOW_S:g} s", most_per_s(storm.ordered_at.values())),
            _row(
                "orders sent per second before, the most", f"over {WINDOW_S:g} s", _orders_per_s(outcome, until=storm.struck_at)
            ),
            _row("orders sent per second after, the most", f"over {WINDOW_S:g} s", _orders_per_s(outcome, since=outcome.up_at)),
            _row("orders beyond an undisturbed upgrade's", "p50", quantile(again, 0.5)),
            _row("", "p99", quantile(again, 0.99)),
            _row("", "the most", max(again)),
            _row("new sessions waiting for their turn", "the most", _peak(storm_samples, "births_waiting")),
            _row("inbox of the control link", "the most", _peak(storm_samples, "link.control.inbox_messages")),
            _row("executor's queue", "the most", _peak(storm_samples, "executor_queue")),
            _row("transfers open", "the most", _peak(storm_samples, "transfers_open")),
            _row(
                "gateway's RSS, MB", "before", max(one.rss_bytes for one in outcome.samples if one.at < storm.struck_at) / 1e6
            ),
            _row("", "after, the most", max(one.rss_bytes for one in storm_samples) / 1e6),
        ],
    )
    report.table(
        "Upgrades",
        [
            {"state": state, "at the death": outcome.struck.get(state, 0), "at the end": outcome.states.get(state, 0)}
            for state in sorted(outcome.struck.keys() | outcome.states.keys())
        ],
    )
    counted = {
        name: count
        for name, count in sorted(storm_samples[-1].counters.items())
        if count and (name.startswith(_WORDS) or "dropped" in name or "lost" in name)
    }
    report.table("Counters of the gateway at the end", [{"counter": name, "count": count} for name, count in counted.items()])
    report.aim("99 % back by the gateway's store, s after the broker's return", storm.back_s - down_s, "<=", BACK_S)
    report.aim("99 % back by the simulator, s after the broker's return", outcome.simulator_back_s - down_s, "<=", BACK_S)
    report.aim(
        "terminals sent orders again, per second",
        most_per_s(storm.ordered_at.values()),
        "<=",
        load.births_per_s * (1 + _BURST_S / WINDOW_S) * MARGIN,
    )
    report.aim("orders beyond an undisturbed upgrade's, 99 of 100 terminals", quantile(again, 0.99), "<=", 2)
    report.aim("share of upgrades that succeeded", outcome.states.get("succeeded", 0) / load.terminals, ">=", 1.0)
    report.aim("attempts lost", outcome.attempts_lost, "<=", 0)
    report.aim("messages dropped by a full inbox", _peak(storm_samples, "link.control.dropped_inbox_full"), "<=", 0)


def _row(what: str, how: str, value: Cell) -> Mapping[str, Cell]:
    return {"what": what, "": how, "value": value}


def _orders_per_s(outcome: Outcome, *, since: float = 0.0, until: float = math.inf) -> float:
    return steepest_per_s([(one.at, _orders(one.counters)) for one in outcome.samples if since <= one.at < until])


def _orders(counters: Mapping[str, Any]) -> int:
    return sum(count for name, count in counters.items() if name.startswith("order:"))


def _peak(samples: Iterable[Sample], name: str) -> int:
    return max(sample.count(name) for sample in samples)


if __name__ == "__main__":
    sys.exit(main())
