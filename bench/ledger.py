"""What one ledger entry costs in the writer's thread: ``python -m bench.ledger``, no network, a file in a temporary folder.

Batches as the writer makes them under load, each one transaction by ``batch.apply``. The time is CPU time of the process, so a
slow disk and neighbours do not count; the best round is printed, since the rest is noise from outside.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from gateway.core.effects import Append
from gateway.store import batch, migrate

EVIDENCE: Final = {"seq": 7, "at_ms": 1_790_000_000_123, "battery_pct": 71, "version": "2.0.0"}


def entries(count: int, terminals: int, rng: random.Random) -> list[Append]:
    """A batch of reports of terminals drawn at random."""
    return [
        Append(
            at_us=1_790_000_000_000_000 + number,
            terminal=f"T{rng.randrange(terminals):06}",
            campaign="c-1jq3x5k0m7f2q9ab",
            upgrade=f"c-1jq3x5k0m7f2q9ab-{number}",
            actor="terminal",
            what="health",
            from_state="soaking",
            to_state="soaking",
            code="ok",
            evidence=EVIDENCE,
        )
        for number in range(count)
    ]


def measure(file: Path, *, size: int, terminals: int, rounds: int, batches: int) -> Sequence[float]:
    """Microseconds of CPU for one entry, in each round."""
    rng = random.Random(1)
    found: list[float] = []
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")  # the disk is not what is measured
        for _ in range(rounds):
            made = [entries(size, terminals, rng) for _ in range(batches)]
            began = time.process_time_ns()
            for one in made:
                connection.execute("BEGIN IMMEDIATE")
                batch.apply(connection, one)
                connection.execute("COMMIT")
            found.append((time.process_time_ns() - began) / 1000 / (size * batches))
    return found


def main() -> None:
    """Print a line for each size of a batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--terminals", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    print("entries in a batch  us per entry (best, median)")
    for size in (1, 50, 500):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "ledger.db")
            file.touch()
            migrate.bring_up(file)
            found = sorted(
                measure(file, size=size, terminals=asked.terminals, rounds=asked.rounds, batches=max(4, 10_000 // size))
            )
        print(f"{size:18}  {found[0]:.1f}, {found[len(found) // 2]:.1f}")


if __name__ == "__main__":
    main()
