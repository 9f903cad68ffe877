"""What ``save`` has returned for outlives ``kill -9``, and nothing is kept by halves."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

LINES_BEFORE_THE_KILL = 600


async def _promised(process: Process) -> list[int]:
    """The numbers that the process printed before it was killed amid its writes."""
    assert process.stdout is not None
    lines = BufferedByteReceiveStream(process.stdout)
    numbers = []
    try:
        while True:
            numbers.append(int(await lines.receive_until(b"\n", 32)))
            if len(numbers) == LINES_BEFORE_THE_KILL:
                process.kill()
    except (anyio.IncompleteRead, anyio.EndOfStream):
        return numbers


def _kept(file: Path) -> tuple[str, list[int]]:
    with closing(sqlite3.connect(file)) as connection:
        [(verdict,)] = connection.execute("PRAGMA integrity_check").fetchall()
        return verdict, [row[0] for row in connection.execute("SELECT at_us FROM ledger ORDER BY seq")]


async def test_every_save_that_returned_survives_a_kill(store_file: Path) -> None:
    command = [sys.executable, "-m", "tests.integration.store.saving", str(store_file)]
    async with await anyio.open_process(command, stderr=None) as process:
        try:
            promised = await _promised(process)
        finally:
            if process.returncode is None:
                process.kill()
    verdict, kept = _kept(store_file)

    assert len(promised) >= LINES_BEFORE_THE_KILL
    assert verdict == "ok"
    assert set(promised) <= set(kept)
    assert kept == [number for number in kept[::2] for _ in range(2)]
