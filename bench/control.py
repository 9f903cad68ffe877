"""How the window moves: one transfer at 1 Mbit/s in virtual time, with a plot of window, queue, link rate and payments.

``scripts/bench control [--plot docs/transfer.svg]``. Everything is the product's own code but the sockets and the broker
(``links/virtual.py``), so the same seed draws the same picture. docs/performance.md shows it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from random import Random
from typing import Final

from bench.links.plot import Figure, Panel, Series
from bench.links.virtual import Line
from bench.links.ways import down_capacity_bytes, radio_pair
from bench.rig.report import Report
from device_sim.radio import Radio
from gateway.core.transfer.pacing import FixedWindow

RATE_BPS: Final = 1_000_000.0
RUN_S: Final = 120.0
FROM_S: Final = 10.0
STEP_S: Final = 0.5
#: What is shown, and its name in the picture.
PACING: Final = FixedWindow
POLICY: Final = "Fixed window of 64 KiB"
TARGET_MS: Final = 60.0
TOP_KIB: Final = 80
TOP_MS: Final = 400


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the same: it takes a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="write the picture there")
    given = parser.parse_args()
    radio, alone = radio_pair(RATE_BPS, given.seed)
    line = Line(radio=radio, alone=alone, pacing=PACING(), rng=Random(given.seed + 1))
    line.run(RUN_S)
    report = Report("control", given.seed, given.quick)
    settled = [trace for trace in line.traces if trace.at >= FROM_S]
    delivered = settled[-1].delivered_bytes - settled[0].delivered_bytes
    added = sorted(1000 * (paid.delay_s - paid.alone_s) for paid in line.paid)
    report.table(
        "One transfer in virtual time",
        [
            {
                "rate": "1 Mbit/s",
                "s": RUN_S - FROM_S,
                "kB/s": delivered / (RUN_S - FROM_S) / 1000,
                "link use": delivered / down_capacity_bytes(radio, FROM_S, RUN_S),
                "payments": len(added),
                "added ms, middle": added[len(added) // 2],
                "added ms, worst": added[-1],
            }
        ],
    )
    if given.plot is not None:
        given.plot.write_text(figure(line, radio).svg())
    return report.finish()


def figure(line: Line, radio: Radio) -> Figure:
    """The picture of a run."""
    steps = [index * STEP_S for index in range(int(RUN_S / STEP_S) + 1)]
    link = [(at + STEP_S / 2, down_capacity_bytes(radio, at, at + STEP_S) / STEP_S / 1000) for at in steps[:-1]]
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
