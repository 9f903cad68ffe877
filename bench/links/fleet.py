"""The process on the terminals' side of ``bench/transfer.py``: all terminals of one row, each with its bearer and its till.

``python -m bench.links.fleet JOB.json``. With ``kind`` *terminals* they are the simulator's; *stream* and *download* are the
rivals. Payments begin ``prepare_s`` after the bearers, measured time ``SETTLE_S`` later, at the same moments of the bearers for
all kinds; by then all must have begun to receive. What each received, what its bearer
could have carried and its payments within that time are written to the job's ``result`` file.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Final

import anyio
import anyio.abc
import uvloop

from bench.links.rivals import Download, FileServer, Meters, Receiver, Responder, Rival, Stream
from bench.links.till import Till, TillShop
from bench.links.ways import down_capacity_bytes, radio_pair
from device_sim.member import Member
from device_sim.radio import Radio
from device_sim.scenario import read_scenario
from device_sim.swarm import BrokerAddress, Plan, Swarm

SETTLE_S: Final = 10.0


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


@dataclass(slots=True)
class Link:
    """A terminal's bearer, its till, and the bearer that carries the payments alone."""

    radio: Radio
    alone: Radio
    till: Till


def make_link(job: Job, name: str, origin: float) -> Link:
    """The same for the same seed and terminal, whatever is transferred."""
    seed = zlib.crc32(f"{job.seed}/{name}".encode())
    radio, alone = radio_pair(job.rates_bps[name], seed, origin)
    return Link(radio=radio, alone=alone, till=Till(radio, alone, Random(seed + 1), origin + job.prepare_s))


class Fleet(Swarm):
    """The simulator's terminals on the benchmark's bearers."""

    def __init__(self, plans: list[Plan], broker: BrokerAddress, links: Mapping[str, Link]) -> None:
        """Nothing happens before ``run``."""
        super().__init__(plans, broker)
        self._links = links

    def _member(self, plan: Plan, loop: asyncio.AbstractEventLoop, now: float) -> Member:
        member = super()._member(plan, loop, now)
        link = self._links[plan.identity.id]
        member.radio = link.radio
        member.terminal.board.shop = TillShop(link.till, member.terminal.board.shop)
        return member


class MemberReceiver:
    """A simulated terminal as ``Receiver``."""

    def __init__(self, fleet: Fleet, name: str) -> None:
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
    origin = asyncio.get_running_loop().time()
    links = {name: make_link(job, name, origin) for name in job.rates_bps}
    async with anyio.create_task_group() as tasks:
        receivers: dict[str, Receiver] = {}
        if job.kind == "terminals":
            fleet = _fleet(job, links)
            tasks.start_soon(fleet.run)
            receivers |= {name: MemberReceiver(fleet, name) for name in links}
            await anyio.sleep(0.5)
        else:
            port = await tasks.start(_server, job)
            for name, link in links.items():
                rival: Rival = Stream(link.radio, name, job.password) if job.kind == "stream" else Download(link.radio, name)
                receivers[name] = rival
                tasks.start_soon(rival.run, job.host, port)
                tasks.start_soon(_pay, link.till)
        await _measure(job, links, receivers, origin)
        tasks.cancel_scope.cancel()


async def _server(job: Job, *, task_status: anyio.abc.TaskStatus[int]) -> None:
    if job.kind == "stream":
        task_status.started(job.port)
        await Responder(job.server_user, job.server_password).run(job.host, job.port)
        return
    await FileServer().run(task_status)


async def _pay(till: Till) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await anyio.sleep(max(0.0, (till.deadline or 0.0) - loop.time()))
        till.on_time(loop.time())


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
                "capacity_bytes": down_capacity_bytes(link.radio, start, end),
                **{key: value - asdict(before[name])[key] for key, value in asdict(after).items()},
                "payments": [(paid.delay_s, paid.alone_s) for paid in link.till.paid if start <= paid.at <= end],
            }
        )
    fresh = anyio.Path(job.result + ".new")
    await fresh.write_text(json.dumps(out))
    await fresh.rename(job.result)


def _fleet(job: Job, links: Mapping[str, Link]) -> Fleet:
    data = {
        "seed": job.seed,
        "speed": 1000.0,
        "broker": {"host": job.host, "port": job.port},
        "login": {"password": job.password},
        "group": [
            {
                "ids": list(links),
                "model": "lakala-4g-esign",
                "reconnect_base_s": 0.2,
                "keep_payload": False,
                "link": {"dropouts_per_h": 0, "stalls_per_h": 0},
            }
        ],
    }
    loop = asyncio.get_running_loop()
    scenario = read_scenario(data, folder=Path(job.folder), where="job")
    unix_base_ms = int((time.time() - loop.time()) * 1000)
    return Fleet(scenario.plans(unix_base_ms), scenario.broker.address(links), links)


if __name__ == "__main__":
    uvloop.run(serve(Job(**json.loads(Path(sys.argv[1]).read_text()))))
