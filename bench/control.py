"""How the window moves, in virtual time: a table over the rates of ``bench/transfer.py``, and a picture of one terminal.

``scripts/bench control [--plot docs/transfer.svg]``. Everything is the product's own code but the sockets and the broker
(``links/virtual.py``), so the same seed draws the same picture. docs/performance.md shows it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Final

from bench.links.bearers import bearer
from bench.links.plot import Figure, Panel, Series
from bench.links.virtual import Line, Paid
from bench.rig.report import Cell, Report, quantile
from device_sim.radio import Radio
from gateway.core.transfer.pacing import TARGET_MS, DelayWindow

RATES_BPS: Final = (96e3, 256e3, 1e6, 4e6, 10e6)
RATE_BPS: Final = 1e6  # of the picture
LONG_S: Final = 310.0
SEEDS: Final = 8
QUICK_SEEDS: Final = 2
RUN_S: Final = 120.0
FROM_S: Final = 10.0
STEP_S: Final = 0.5
#: What is shown, and its name in the picture.
PACING: Final = DelayWindow
POLICY: Final = "Delay-based window"
TOP_KIB: Final = 80
TOP_MS: Final = 400


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer terminals")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="write the picture there")
    given = parser.parse_args()
    report = Report("control", given.seed, given.quick)
    count = QUICK_SEEDS if given.quick else SEEDS
    seeds = range(given.seed, given.seed + count)
    report.table(
        f"{POLICY}, braked, {count} terminals of {LONG_S:g} s each in virtual time", [_row(rate, seeds) for rate in RATES_BPS]
    )
    if given.plot is not None:
        radio, line = _run(RATE_BPS, given.seed, RUN_S)
        given.plot.write_text(figure(line, radio).svg())
    return report.finish()


def _run(rate_bps: float, seed: int, until_s: float) -> tuple[Radio, Line]:
    radio = bearer(rate_bps, seed)
    line = Line(radio=radio, pacing=PACING(), rng=Random(seed + 1))
    line.run(until_s)
    return radio, line


def _row(rate_bps: float, seeds: range) -> Mapping[str, Cell]:
    """All terminals of one rate together, from ``FROM_S`` on."""
    goodput_bps = used = capacity = 0.0
    paid: list[Paid] = []
    for seed in seeds:
        radio, line = _run(rate_bps, seed, LONG_S)
        first = next(trace for trace in line.traces if trace.at >= FROM_S)
        goodput_bps += (line.delivered_bytes - first.delivered_bytes) / (LONG_S - FROM_S) / len(seeds)
        used += line.wire_bytes - first.wire_bytes
        capacity += radio.down.capacity_bytes(FROM_S, LONG_S)
        paid += [one for one in line.paid if one.answered_at >= FROM_S]
    with_it, alone = [1000 * one.delay_s for one in paid], [1000 * one.alone_s for one in paid]
    return {
        "rate, kbit/s": f"{rate_bps / 1000:.0f}",
        "kB/s": goodput_bps / 1000,
        "link use": used / capacity,
        "payments": len(paid),
        "delay p50, ms": quantile(with_it, 0.5),
        **{f"added p{part}": quantile(with_it, part / 100) - quantile(alone, part / 100) for part in (50, 95, 99)},
    }


def figure(line: Line, radio: Radio) -> Figure:
    """The picture of a run."""
    steps = [index * STEP_S for index in range(int(RUN_S / STEP_S) + 1)]
    link = [(at + STEP_S / 2, radio.down.capacity_bytes(at, at + STEP_S) / STEP_S / 1000) for at in steps[:-1]]
    every = round(STEP_S / (line.traces[1].at - line.traces[0].at))
    marks = line.traces[::every]
    goodput = [
        ((one.at + two.at) / 2, (two.delivered_bytes - one.delivered_bytes) / (two.at - one.at) / 1000)
        for one, two in itertools.pairwise(marks)
    ]
    window = [(trace.at, trace.window_bytes / 1024) for trace in line.traces]
    flight = [(trace.at, trace.in_flight_bytes / 1024) for trace in line.traces]
    queue = [(trace.at, trace.queue_s * 1000) for trace in line.traces]
    delays = [(paid.answered_at, 1000 * paid.delay_s) for paid in line.paid]
    alone = [(paid.answered_at, 1000 * paid.alone_s) for paid in line.paid]
    return Figure(
        title=f"{POLICY}: a transfer beside payments",
        subtitle="One terminal, 1 Mbit/s with log-normal changes and short stalls, 40 ms each way, a payment about every 15 s",
        start=0.0,
        end=RUN_S,
        step=10.0,
        bands=[(paid.card_at, paid.ends_at) for paid in line.paid],
        band_name="payment, and the brake",
        panels=[
            Panel(
                title="Link, kB/s",
                top=250,
                step=50,
                series=[
                    Series(name="what the link carries", tone="blue", shape="area", points=link),
                    Series(name="goodput", tone="blue", shape="line", points=goodput),
                ],
            ),
            Panel(
                title="Window, KiB",
                top=TOP_KIB,
                step=TOP_KIB / 4,
                series=[
                    Series(name="in flight", tone="orange", shape="area", points=flight),
                    Series(name="window", tone="orange", shape="line", points=window),
                ],
            ),
            Panel(
                title="Queue before the link, ms",
                top=TOP_MS,
                step=TOP_MS / 4,
                series=[
                    Series(name="queue", tone="green", shape="line", points=queue),
                    Series(name="target", tone="green", shape="dash", points=[(0.0, TARGET_MS), (RUN_S, TARGET_MS)]),
                ],
            ),
            Panel(
                title="Answer to a payment, ms on the link",
                top=TOP_MS,
                step=TOP_MS / 4,
                series=[
                    Series(name="without a transfer", tone="grey", shape="rings", points=alone),
                    Series(name="with it", tone="red", shape="dots", points=delays),
                ],
            ),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
