"""Thousands of terminals in one process, each with real MQTT sessions, on one event loop.

Connecting is bounded (mosquitto's listen backlog is 100), keepalives share one ticker, and everything else happens in the
members' call-backs. ``run`` returns when it is cancelled; ``states`` is each terminal's own account for later checks.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio
import anyio.lowlevel

from device_sim.faults import Faults
from device_sim.flash import Flash, SegmentPool
from device_sim.flash_file import SUFFIX, open_flash
from device_sim.member import Credentials, Member, Tally
from device_sim.mqtt import Connection
from device_sim.options import Identity, Options
from device_sim.profiles import Profile
from device_sim.summary import summarize
from device_sim.terminal import Terminal
from device_sim.transfer import Bulk

TICK_S: Final = 1.0
CONNECT_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One terminal to be."""

    profile: Profile
    identity: Identity
    options: Options
    faults: Faults
    credentials: Credentials
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where the broker is."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    """``None``: no TLS."""
    own_tls: Mapping[str, ssl.SSLContext | None] = field(default_factory=dict)
    """For terminals with a certificate of their own."""
    server_hostname: str | None = None
    connects_at_once: int = 100


class Swarm:
    """All terminals of a scenario."""

    def __init__(self, plans: Sequence[Plan], broker: BrokerAddress, flash: Path | None = None) -> None:
        """Nothing happens before ``run``. ``flash`` is a folder in which the terminals' flash outlives the process."""
        self._plans = plans
        self._flash = flash
        self._broker = broker
        self._queue_send, self._queue = anyio.create_memory_object_stream[tuple[Member, Connection]](float("inf"))
        self.pool = SegmentPool()
        self.tally = Tally()
        self.members: dict[str, Member] = {}

    async def run(self) -> None:
        """Power all terminals on and keep them alive until cancelled; then their power goes, all at once."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for plan in self._plans:
            self.members[plan.identity.id] = self._member(plan, loop, now)
        try:
            async with self._queue_send, self._queue, anyio.create_task_group() as tasks:
                for number in range(min(self._broker.connects_at_once, 2 * len(self._plans))):
                    tasks.start_soon(self._connect_all, name=f"connect {number}")
                tasks.start_soon(self._tick, name="keepalives")
                for number, member in enumerate(self.members.values()):
                    member.boot()
                    if number % 100 == 0:
                        await anyio.lowlevel.checkpoint()  # thousands of boots must not keep the first ones from connecting
        finally:
            for member in self.members.values():
                member.stop()

    def dial(self, member: Member, connection: Connection) -> None:
        """Put a connect into the queue (``member.Dialler``)."""
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._queue_send.send_nowait((member, connection))

    def states(self) -> Iterator[dict[str, Any]]:
        """Each terminal's own account."""
        for member in self.members.values():
            yield summarize(member.terminal)

    def status(self) -> dict[str, Any]:
        """Counts for a progress line."""
        phases: Counter[str] = Counter()
        tally = self.tally
        bytes_in, bytes_out = tally.bytes_in, tally.bytes_out
        online = transferring = received = useful = repeated = 0
        for member in self.members.values():
            terminal = member.terminal
            online += member.control is not None and member.control.ready
            transferring += terminal.firmware is not None and terminal.firmware.transfer.bulk is Bulk.UP
            received += terminal.board.tally.received_bytes
            useful += terminal.board.tally.useful_bytes
            repeated += terminal.board.tally.repeated_bytes
            for connection in (member.control, member.bulk):
                bytes_in += connection.bytes_in if connection is not None else 0
                bytes_out += connection.bytes_out if connection is not None else 0
            phases[_phase(terminal)] += 1
        return {
            "terminals": len(self.members),
            "online": online,
            "transferring": transferring,
            "phases": dict(phases),
            "received_bytes": received,
            "useful_bytes": useful,
            "repeated_bytes": repeated,
            "connects": tally.connects,
            "failures": tally.failures,
            "losses": tally.losses,
            "dropouts": tally.dropouts,
            "bytes_in": bytes_in,
            "bytes_out": bytes_out,
            "messages_in": tally.messages_in,
            "messages_out": tally.messages_out,
            "strays": tally.strays,
            "payments": tally.payments.summary(),
            "reasons": tally.reasons or {},
        }

    def _member(self, plan: Plan, loop: asyncio.AbstractEventLoop, now: float) -> Member:
        rng = Random(plan.seed)
        flash = Flash() if self._flash is None else open_flash(self._flash / f"{plan.identity.id}{SUFFIX}")
        terminal = Terminal(
            plan.profile, plan.identity, flash, rng, options=plan.options, faults=plan.faults, pool=self.pool, now=now
        )
        return Member(terminal, plan.credentials, self, self.tally, loop)

    async def _connect_all(self) -> None:
        """One of the connectors: takes a connect, and holds its place until the broker has answered."""
        loop = asyncio.get_running_loop()
        broker = self._broker
        async for member, connection in self._queue:
            if connection.closed:
                continue
            tls = broker.own_tls.get(member.terminal.id, broker.tls)
            try:
                with anyio.fail_after(CONNECT_TIMEOUT_S):
                    answered = connection.waiter = loop.create_future()
                    await loop.create_connection(
                        lambda connection=connection: connection,
                        broker.host,
                        broker.port,
                        ssl=tls,
                        server_hostname=broker.server_hostname if tls is not None else None,
                    )
                    await answered
            except (OSError, TimeoutError) as exc:
                member.connection_failed(connection, _short(exc))

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await anyio.sleep(TICK_S)
            now = loop.time()
            for member in self.members.values():
                member.tick(now)


def _phase(terminal: Terminal) -> str:
    if terminal.firmware is None:
        return "booting"
    record = terminal.firmware.dossier.record
    return record.phase.value if record is not None else "idle"


def _short(exc: BaseException) -> str:
    """Reasons are counted by text, so addresses and numbers must not make each one new."""
    return exc.strerror or type(exc).__name__ if isinstance(exc, OSError) else type(exc).__name__
