"""The process on the terminals' side of ``bench/transfer.py``: all terminals of one row, each with its bearer and its shop.

``python -m bench.links.fleet JOB.json``. With ``kind`` *terminals* they are the simulator's; *stream* and *download* are the
rivals, on the bearers and beside the payments of the same terminals. Payments begin ``prepare_s`` after the bearers, measured
time ``SETTLE_S`` later, at the same moments of the bearers for all kinds; by then all must have begun to receive. What each
received, what its bearer could have carried and its payments within that time are written to the job's ``result`` file.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import anyio
import anyio.abc
import uvloop

from bench.links.bearers import groups
from bench.links.rivals import Download, FileServer, Meters, Receiver, Responder, Rival, Stream
from device_sim.board import Board
from device_sim.flash import Flash
from device_sim.groups import Entry
from device_sim.options import Identity
from device_sim.radio import Radio
from device_sim.scenario import Scenario, read_scenario
from device_sim.shop import Shop
from device_sim.swarm import Swarm
from device_sim.terminal import Terminal
from device_sim.till import Paid
from gateway.trust.keys import KeyRing

SETTLE_S: Final = 10.0
SPEED: Final = 1000.0  # of preparations and of boots


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the benchmark asks for."""

    kind: str
    seed: int
    prepare_s: float
    """For orders and preparations; no payments yet, since the gateway does not bother a terminal that is paying."""
    duration_s: float
    rates_bps: Mapping[str, float]
    """By terminal."""
    host: str
    port: int
    password: str
    server_user: str
    server_password: str
    folder: str
    result: str


@dataclass(slots=True, kw_only=True)
class Link:
    """A terminal's bearer, its shop, and the answers to its payments."""

    radio: Radio
    shop: Shop
    paid: list[Paid] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shop.till.on_answer = self.paid.append


class MemberReceiver:
    """A simulated terminal as ``Receiver``."""

    def __init__(self, fleet: Swarm, name: str) -> None:
        self._fleet, self._name = fleet, name

    def meters(self) -> Meters:
        """By its tally; the wire by its bulk connection, which must be there all the time."""
        member = self._fleet.members[self._name]
        tally = member.terminal.board.tally
        if member.bulk is None and tally.useful_bytes:
            raise RuntimeError(f"{self._name} has no bulk connection any more: the package was too small, or the link broke")
        wire = member.bulk.bytes_in if member.bulk is not None else 0
        return Meters(wire_bytes=wire, received_bytes=tally.received_bytes, useful_bytes=tally.useful_bytes)


async def serve(job: Job) -> None:
    """Run the job and write its result."""
    loop = asyncio.get_running_loop()
    origin = loop.time()
    scenario = _scenario(job)
    async with anyio.create_task_group() as tasks:
        receivers: dict[str, Receiver] = {}
        links: dict[str, Link] = {}
        if job.kind == "terminals":
            fleet = Swarm(scenario.plans(int((time.time() - origin) * 1000)), scenario.broker.address(job.rates_bps))
            tasks.start_soon(fleet.run)
            await anyio.sleep(0.5)
            for name, member in fleet.members.items():
                links[name] = Link(radio=member.radio, shop=member.terminal.board.shop)
                receivers[name] = MemberReceiver(fleet, name)
        else:
            port = await tasks.start(_server, job)
            for entry in scenario.entries:
                name, board = entry.id, _board(entry, scenario.seed_of(entry.id), origin)
                rival: Rival = Stream(board.radio, name, job.password) if job.kind == "stream" else Download(board.radio, name)
                links[name], receivers[name] = Link(radio=board.radio, shop=board.shop), rival
                tasks.start_soon(rival.run, job.host, port)
                tasks.start_soon(_pay, board.shop)
        await _measure(job, links, receivers, origin)
        tasks.cancel_scope.cancel()


def _board(entry: Entry, seed: int, now: float) -> Board:
    """Bearer and shop of a terminal that stays without power."""
    nobody = KeyRing([])
    identity = Identity(id=entry.id, orders=nobody, publishers=nobody)
    return Terminal(entry.profile, identity, Flash(), Random(seed), options=entry.options, now=now).board


async def _server(job: Job, *, task_status: anyio.abc.TaskStatus[int]) -> None:
    if job.kind == "stream":
        task_status.started(job.port)
        await Responder(job.server_user, job.server_password).run(job.host, job.port)
        return
    await FileServer().run(task_status)


async def _pay(shop: Shop) -> None:
    loop = asyncio.get_running_loop()
    shop.serve(loop.time())
    while True:
        await anyio.sleep(max(0.0, (shop.deadline or 0.0) - loop.time()))
        shop.on_time(loop.time())


async def _measure(job: Job, links: Mapping[str, Link], receivers: Mapping[str, Receiver], origin: float) -> None:
    loop = asyncio.get_running_loop()
    await anyio.sleep(origin + job.prepare_s - loop.time())
    waiting = [name for name, receiver in receivers.items() if not receiver.meters().useful_bytes]
    if waiting:
        raise RuntimeError(f"no data for {waiting}")
    await anyio.sleep(SETTLE_S)
    start = loop.time()
    before = {name: receiver.meters() for name, receiver in receivers.items()}
    await anyio.Path(job.result + ".begun").touch()
    await anyio.sleep(job.duration_s)
    end = loop.time()
    out = []
    for name, link in links.items():
        after = receivers[name].meters()
        out.append(
            {
                "name": name,
                "rate_bps": job.rates_bps[name],
                "elapsed_s": end - start,
                "capacity_bytes": link.radio.down.capacity_bytes(start, end),
                **{key: value - asdict(before[name])[key] for key, value in asdict(after).items()},
                "payments": [(paid.delay_s, paid.alone_s) for paid in link.paid if start <= paid.at <= end],
            }
        )
    fresh = anyio.Path(job.result + ".new")
    await fresh.write_text(json.dumps(out))
    await fresh.rename(job.result)


def _scenario(job: Job) -> Scenario:
    data = {
        "seed": job.seed,
        "speed": SPEED,
        "broker": {"host": job.host, "port": job.port},
        "login": {"password": job.password},
        "group": groups(dict(job.rates_bps), speed=SPEED, payments_from_s=job.prepare_s),
    }
    return read_scenario(data, folder=Path(job.folder), where="job")


if __name__ == "__main__":
    uvloop.run(serve(Job(**json.loads(Path(sys.argv[1]).read_text()))))
