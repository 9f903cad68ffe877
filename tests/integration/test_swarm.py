"""The swarm's own MQTT client against a real Mosquitto: sessions, wills, QoS 1, shaping, restarts, and a whole upgrade."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from random import Random

import anyio

from device_sim.faults import CutAt, Faults, PowerCut
from device_sim.member import Credentials
from device_sim.mqtt import Connection, Login
from device_sim.options import Merchant, Options, Shop
from device_sim.profiles import LinkProfile, load_profile
from device_sim.swarm import BrokerAddress, Plan, Swarm
from gateway.trust.orders import sign_order
from gateway.wire import topics
from gateway.wire.codec import decode, encode, kind_of
from gateway.wire.codes import OrderKind, What
from gateway.wire.messages import (
    BLOCK_BYTES,
    Ack,
    Chunk,
    Hello,
    Message,
    Order,
    Presence,
    Receipt,
    Report,
    Result,
    Welcome,
)
from gateway.wire.ranges import RangeSet
from tests.harness.broker import Broker
from tests.unit.device_sim.build import DAY_MS, MODEL, ORDER_KEY, identity_of, payload_of
from tests.unit.device_sim.play import NEXT, Play

PAYLOAD = payload_of(400_000)


class Gateway:
    """A scripted gateway on one connection: answers hello, receipts, gives the order that the newest report calls for."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.script = Play(PAYLOAD)  # for its manifest and arguments only
        self.heard: list[tuple[str, Message]] = []
        self.newest: dict[str, What] = {}
        self.counter: Counter[str] = Counter()
        self.step: Counter[str] = Counter()
        self.epochs: dict[str, int] = {}
        self.offers = False
        self.sent: dict[str, RangeSet] = {}
        self.number = 0
        self.bulk_epochs: dict[str, int] = {}
        self.ready = anyio.Event()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        login = Login(
            client_id="gateway",
            username=self.broker.gateway_user,
            password=self.broker.gateway_password.encode(),
            topic_filter="tg1/up/#",
            clean=True,
        )
        self.connection = Connection(self, login, loop, None, None)
        await loop.create_connection(lambda: self.connection, self.broker.host, self.broker.port)
        await self.ready.wait()

    def say(self, terminal: str, message: Message, *, bulk: bool = False) -> None:
        self.connection.publish(topics.down(terminal, kind_of(message), bulk=bulk), encode(message), 0 if bulk else 1)

    def order(self, terminal: str, kind: OrderKind) -> None:
        self.counter[terminal] += 1
        self.step[terminal] += 1
        now_ms = int(time.time() * 1000)
        self.script.transfer = self.counter[terminal]
        order = Order(
            id=f"u1-{self.step[terminal]}",
            counter=self.counter[terminal],
            shard_epoch=1,
            terminal=terminal,
            kind=kind,
            args=self.script.args_of(kind),
            not_before_ms=now_ms - 60_000,
            not_after_ms=now_ms + DAY_MS,
        )
        self.say(terminal, sign_order(order, ORDER_KEY))

    def connection_ready(self, connection: Connection) -> None:
        del connection
        self.ready.set()

    def connection_message(self, connection: Connection, topic: str, payload: bytes) -> None:
        del connection
        address = topics.parse_up(topic)
        message = decode(address.kind, payload)
        self.heard.append((address.terminal, message))
        match message:
            case Hello():
                self.epochs[address.terminal] = message.epoch
                self.say(address.terminal, Welcome(epoch=message.epoch, now_ms=int(time.time() * 1000)))
                if self.offers and message.upgrade is None:
                    self.order(address.terminal, OrderKind.UPGRADE_OFFER)
            case Report():
                self.say(address.terminal, Receipt(upgrade=message.upgrade, seqs=(message.seq,)))
                self._report(address.terminal, message)
            case Result():
                self.say(address.terminal, Receipt(orders=(message.order,)))
            case Ack():
                self._ack(address.terminal, message)
            case _:
                pass

    def connection_flush(self, connection: Connection) -> None:
        """Nothing is held back."""

    def connection_lost(self, connection: Connection, reason: str, *, clean: bool) -> None:
        """A test that restarts the broker connects a new gateway."""

    def _report(self, terminal: str, report: Report) -> None:
        if report.what is What.HEALTH or self.newest.get(terminal) is report.what:
            return
        self.newest[terminal] = report.what
        kind = NEXT.get(report.what)
        if kind is not None:
            self.order(terminal, kind)

    def _ack(self, terminal: str, ack: Ack) -> None:
        if self.bulk_epochs.get(terminal) != ack.epoch:
            self.bulk_epochs[terminal] = ack.epoch
            self.sent[terminal] = RangeSet([(0, ack.cum), *ack.ranges])
        blocks = -(-len(PAYLOAD) // BLOCK_BYTES)
        for start, stop in list(self.sent[terminal].gaps(0, blocks)):
            for at in range(start, stop, 16):
                self.number += 1
                data = PAYLOAD[at * BLOCK_BYTES : min(at + 16, stop) * BLOCK_BYTES]
                stamp = int(time.monotonic() * 1000)
                chunk = Chunk(transfer=ack.transfer, number=self.number, index=at, stamp_ms=stamp, data=data)
                self.say(terminal, chunk, bulk=True)
            self.sent[terminal].add(start, stop)


def plan(
    broker: Broker, terminal: str, *, link: LinkProfile | None = None, faults: Faults | None = None, password: str = ""
) -> Plan:
    profile = load_profile(MODEL)
    base = int((time.time() - time.monotonic()) * 1000)
    return Plan(
        profile=type(profile)(**{name: getattr(profile, name) for name in profile.__slots__} | {"link": link or LinkProfile()}),
        identity=identity_of(terminal),
        options=Options(speed=200.0, merchant=Merchant(delay_s=(1.0, 2.0)), reconnect_cap_s=2.0, unix_base_ms=base),
        faults=faults or Faults(),
        credentials=Credentials(
            username=terminal, bulk_username=terminal, password=(password or broker.terminal_password(terminal)).encode()
        ),
        seed=Random(terminal).randrange(2**32),
    )


@contextlib.asynccontextmanager
async def running(broker: Broker, plans: list[Plan]) -> AsyncIterator[Swarm]:
    swarm = Swarm(plans, BrokerAddress(host=broker.host, port=broker.port))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(swarm.run)
        yield swarm
        tasks.cancel_scope.cancel()


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what the swarm has seen is polled, it tells nobody
            await anyio.sleep(0.01)


async def test_terminal_is_born_says_hello_and_dies_by_its_will(broker: Broker) -> None:
    gateway = Gateway(broker)
    await gateway.connect()
    [terminal] = broker.new_terminals(1)
    async with running(broker, [plan(broker, terminal)]):
        await until(lambda: terminal in gateway.epochs)
    await until(lambda: (terminal, Presence(epoch=1, online=False)) in gateway.heard)

    kinds = [kind_of(message) for name, message in gateway.heard if name == terminal]
    assert kinds[:2] == ["presence", "hello"]
    gateway.connection.close(abort=True)


async def test_whole_upgrade_over_both_connections(broker: Broker) -> None:
    """Offer to commit, with a power cut in the transfer; nothing verified comes twice."""
    gateway = Gateway(broker)
    gateway.offers = True
    gateway.script.soak_s = 0.0
    await gateway.connect()
    names = broker.new_terminals(5)
    cut = PowerCut(at=CutAt.BYTES, value=200_000, off_s=(0.1, 0.1))
    faults = {names[0]: Faults(power_cuts=(cut,))}
    async with running(broker, [plan(broker, name, faults=faults.get(name)) for name in names]) as swarm:
        await until(lambda: all(gateway.newest.get(name) is What.COMMITTED for name in names))
        states = {state["id"]: state for state in swarm.states()}

    assert all(state["versions"]["app"] == "2.0.0" for state in states.values())
    assert states[names[0]]["power_cuts"] == 1
    assert all(state["repeated_bytes"] == 0 for state in states.values())
    assert len(swarm.pool._known) == len(gateway.script.manifest.segments), "five copies of a package cost one"  # noqa: SLF001
    gateway.connection.close(abort=True)


async def test_swarm_survives_a_broker_that_dies(own_broker: Broker) -> None:
    """Sessions and subscriptions are gone after kill -9; every terminal comes back with a higher epoch."""
    names = own_broker.new_terminals(30)
    async with running(own_broker, [plan(own_broker, name) for name in names]) as swarm:
        await until(lambda: swarm.status()["online"] == len(names))
        own_broker.kill()
        await until(lambda: swarm.status()["online"] == 0)
        own_broker.start()
        gateway = Gateway(own_broker)
        await gateway.connect()
        await until(lambda: swarm.status()["online"] == len(names))
        epochs = [member.terminal.board.journal.integer("epoch") for member in swarm.members.values()]
        gateway.connection.close(abort=True)

    assert all(epoch >= 2 for epoch in epochs)


async def test_wrong_password_is_refused_counted_and_retried(broker: Broker) -> None:
    [terminal] = broker.new_terminals(1)
    async with running(broker, [plan(broker, terminal, password="wrong")]) as swarm:
        await until(lambda: swarm.tally.failures >= 2)

        assert swarm.status()["online"] == 0
        assert any("not_authorized" in reason or "bad_user" in reason for reason in swarm.tally.reasons or {})


async def test_shaped_link_takes_its_time_and_carries_everything(broker: Broker) -> None:
    """400,000 bytes at 2 Mbit/s take at least 1.6 s."""
    gateway = Gateway(broker)
    gateway.offers = True
    await gateway.connect()
    [terminal] = broker.new_terminals(1)
    link = LinkProfile(down_bps=2_000_000, up_bps=1_000_000, delay_ms=30, jitter_ms=10)
    async with running(broker, [plan(broker, terminal, link=link)]):
        await until(lambda: gateway.newest.get(terminal) is What.READY)
        started = time.monotonic()
        await until(lambda: gateway.newest.get(terminal) not in {What.READY, What.ACCEPTED})

    assert time.monotonic() - started > 1.5
    gateway.connection.close(abort=True)


async def test_payment_is_spared_by_a_sender_that_hears_no_brake(broker: Broker) -> None:
    """The gateway here pushes all at once. Unread, it stays in the network: the answer never waits the 3 s of the queue."""
    gateway = Gateway(broker)
    gateway.offers = True
    await gateway.connect()
    [terminal] = broker.new_terminals(1)
    paying = plan(broker, terminal, link=LinkProfile(down_bps=800_000, up_bps=400_000, delay_ms=30))
    shop = Shop(payment_every_s=(160.0, 240.0), lead_s=(80.0, 80.0), host_s=(10.0, 10.0))  # card each second, 0.4 s, 0.05 s
    async with running(broker, [replace(paying, options=replace(paying.options, shop=shop))]) as swarm:
        await until(lambda: gateway.newest.get(terminal) is What.READY)
        before = swarm.status()["payments"]["count"]
        await until(lambda: gateway.newest.get(terminal) is not What.READY)
        payments = swarm.status()["payments"]
        [state] = swarm.states()

    assert payments["count"] - before >= 3
    assert payments == state["payments"]
    assert 30 < payments["alone_ms"]["p50"] < 50
    assert payments["added_ms"]["p99"] < 300
    gateway.connection.close(abort=True)


async def test_hundreds_connect_at_once_and_hold_their_sessions(broker: Broker) -> None:
    names = broker.new_terminals(300)
    async with running(broker, [plan(broker, name) for name in names]) as swarm:
        await until(lambda: swarm.status()["online"] == len(names))

        assert swarm.tally.failures == 0
        assert swarm.tally.strays == 0
