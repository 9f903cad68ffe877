"""Fuzzes all decoders in turn for so many minutes in all, and prints a table: ``scripts/fuzz --minutes N --seed S``.

Each decoder has a process of its own, started again with the next seed when it crashes, at most ``CRASHES_MAX`` times. A
crash is whatever ``read`` raises, an input that takes more than 2 s of processor time (or does not end), or more than
``RSS_MAX_MB`` of memory; the input is kept under ``--keep``. Exit code 1 when there was any.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.decoders import DECODERS

HANGS_S: Final = 300
RSS_MAX_MB: Final = 1024
CRASHES_MAX: Final = 5
_STAT: Final = re.compile(r"stat::(\w+):\s+(\d+)")
_PULSE: Final = re.compile(r"^#(\d+)\s.*rss: (\d+)Mb", re.MULTILINE)


@dataclass(slots=True)
class Row:
    """What became of one decoder."""

    name: str
    executions: int = 0
    seconds: float = 0.0
    crashes: int = 0
    rss_mb: int = 0

    def add(self, output: str, seconds: float) -> None:
        """One process has ended; ``output`` is what libFuzzer wrote."""
        stats = {key: int(value) for key, value in _STAT.findall(output)}
        if rate := stats.get("average_exec_per_sec"):  # its own, which leaves the start of the process out
            seconds = stats["number_of_executed_units"] / rate
        pulses = [(int(count), int(rss)) for count, rss in _PULSE.findall(output)]  # all there is after some crashes
        self.executions += max(stats.get("number_of_executed_units", 0), max((count for count, _ in pulses), default=0))
        self.rss_mb = max(self.rss_mb, stats.get("peak_rss_mb", 0), max((rss for _, rss in pulses), default=0))
        self.seconds += seconds

    def __str__(self) -> str:
        rate = self.executions / self.seconds if self.seconds else 0.0
        return f"| {self.name} | {self.executions:,} | {rate:,.0f} | {self.crashes} | {self.rss_mb} |"


def fuzz(name: str, seconds: float, seed: int, corpus: Path, keep: Path) -> Row:
    """One decoder for so long."""
    row = Row(name)
    folder = corpus / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 1 and row.crashes < CRASHES_MAX:
        began = time.monotonic()
        options = [
            f"-seed={seed + row.crashes}",
            f"-max_total_time={int(left)}",
            f"-timeout={HANGS_S}",
            f"-rss_limit_mb={RSS_MAX_MB}",
            f"-artifact_prefix={keep}/{name.replace(' ', '-')}-",
            "-print_final_stats=1",
        ]
        command = [sys.executable, "-m", "tests.fuzz.one", name, str(folder), *options]
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        row.add(ended.stderr, time.monotonic() - began)
        if ended.returncode != 0:
            row.crashes += 1
            print(f"crash of {name}:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}", file=sys.stderr, flush=True)
    return row


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description="Fuzzes every decoder of bytes from outside.")
    parser.add_argument("--minutes", type=float, default=5.0, help="for all decoders together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=sorted(DECODERS), help="this decoder (may be given several times)")
    parser.add_argument("--keep", type=Path, default=Path("var/fuzz"), help="where inputs that crash are kept")
    given = parser.parse_args()

    given.keep.mkdir(parents=True, exist_ok=True)
    names = given.only or list(DECODERS)
    rows = []
    print("| decoder | executions | per second | crashes | peak RSS, MB |\n|---|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as corpus:
        for name in names:
            rows.append(fuzz(name, given.minutes * 60 / len(names), given.seed, Path(corpus), given.keep))
            print(rows[-1], flush=True)
    whole = Row("all", *(sum(getattr(row, key) for row in rows) for key in ("executions", "seconds", "crashes")))
    whole.rss_mb = max(row.rss_mb for row in rows)
    print(whole)
    return 1 if whole.crashes else 0


if __name__ == "__main__":
    sys.exit(main())
