"""A process that saves groups of two entries as fast as it can and prints the number of each once it is durable.

Started and killed by ``test_durability``: ``python -m tests.integration.store.saving <file>``.
"""

from __future__ import annotations

import os
import sys

import anyio

from gateway.store.database import Database
from gateway.store.writer import Writer
from tests.integration.store.build import entry

PRODUCERS = 20


async def _produce(writer: Writer, first: int) -> None:
    number = first
    while True:
        await writer.save([entry(number), entry(number, to_state="ready", evidence={"number": number})])
        os.write(sys.stdout.fileno(), f"{number}\n".encode())
        number += PRODUCERS


async def _main(file: str) -> None:
    async with Database.open(file) as db, anyio.create_task_group() as tasks:
        writer = Writer(db)
        tasks.start_soon(writer.run)
        for first in range(1, PRODUCERS + 1):
            tasks.start_soon(_produce, writer, first)


if __name__ == "__main__":
    anyio.run(_main, sys.argv[1])
