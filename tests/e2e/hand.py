"""Ends of the air that a test plays by hand: a terminal message by message, and an ear on any topic that a user may hear.

Built on the simulator's MQTT connection and the wire, so that they can say what no real terminal would. What they hear is kept
in order; ``hear`` waits for the next one that fits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

import anyio

from device_sim.mqtt import Connection, Login
from gateway.config import read_public_key
from gateway.trust.keys import KeyRing
from gateway.trust.orders import open_order
from gateway.wire import topics
from gateway.wire.codec import decode, encode, kind_of
from gateway.wire.codes import Code, OrderKind, What
from gateway.wire.messages import Facts, Hello, Message, OpenUpgrade, Order, Plain, Presence, Receipt, Report, Signed, Welcome
from tests.harness.broker import Broker
from tests.harness.stage import MODEL, Stage

M = TypeVar("M", bound=Message)

HEAR_S: Final = 15.0
FACTS: Final = Facts(
    model=MODEL,
    components={"app": "1.0.0", "os": "1.0.0"},
    floors={},
    slot="a",
    battery_pct=90,
    charging=True,
    storage_free_bytes=100_000_000,
    rat="lte",
    rssi_dbm=-80,
    operator="46000",
    time_zone="Asia/Shanghai",
    clock_ms=1_790_000_000_000,
    in_transaction=False,
    unsettled_count=0,
)


class Ear:
    """One MQTT connection with one subscription; ``heard`` is all that came, as topic and payload."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._changed = anyio.Event()
        self._connection: Connection | None = None

    async def connect(self, broker: Broker, login: Login) -> None:
        """Return once subscribed."""
        loop = asyncio.get_running_loop()
        connection = Connection(self, login, loop, None, None)
        await loop.create_connection(lambda: connection, broker.host, broker.port)
        with anyio.fail_after(HEAR_S):
            while not connection.ready:
                await self.change()
        self._connection = connection

    def shout(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Publish anything."""
        assert self._connection is not None
        self._connection.publish(topic, payload, qos)

    def close(self, *, abort: bool = False) -> None:
        """Leave; ``abort`` without a word, so that the broker speaks the will."""
        if self._connection is not None:
            self._connection.close(abort=abort)
            self._connection = None

    async def change(self) -> None:
        """Return when something has happened."""
        self._changed = anyio.Event()
        await self._changed.wait()

    def connection_ready(self, connection: Connection) -> None:
        """Subscribed."""
        del connection
        self._changed.set()

    def connection_message(self, connection: Connection, topic: str, payload: bytes) -> None:
        """Keep it."""
        del connection
        self.heard.append((topic, payload))
        self._changed.set()

    def connection_flush(self, connection: Connection) -> None:
        """Nothing waits for the end of a read."""

    def connection_lost(self, connection: Connection, reason: str, *, clean: bool) -> None:
        """The broker is gone, or did not like what was said."""
        del connection, reason, clean
        self._changed.set()


class Hand(Ear):
    """A terminal. It does only what the test says."""

    def __init__(self, stage: Stage, terminal: str, *, version: str = "1.0.0") -> None:
        super().__init__()
        self.id = terminal
        self.facts = replace(FACTS, components={**FACTS.components, "app": version})
        self.epoch = 0
        self.counter = 0
        self.seq = 0
        self._broker = stage.broker
        self._ring = KeyRing([read_public_key(stage.home / "keys" / "order.pub")])
        self._read: dict[type, int] = {}

    async def appear(self, *, wait_s: float = HEAR_S) -> Welcome:
        """Connect with a new epoch, birth and hello; the welcome, or ``TimeoutError``."""
        self.close()
        self.epoch += 1
        will = encode(Presence(epoch=self.epoch, online=False))
        login = Login(
            client_id=self.id,
            username=self.id,
            password=self._broker.terminal_password(self.id).encode(),
            topic_filter=topics.down_filter(self.id),
            clean=False,
            will_topic=topics.up(self.id, "presence"),
            will=will,
        )
        await self.connect(self._broker, login)
        self.say(Presence(epoch=self.epoch, online=True))
        self.greet()
        return await self.hear(Welcome, lambda welcome: welcome.epoch == self.epoch, wait_s=wait_s)

    def greet(self, upgrade: OpenUpgrade | None = None) -> None:
        """Say hello."""
        self.say(Hello(epoch=self.epoch, counter=self.counter, facts=self.facts, upgrade=upgrade))

    def say(self, message: Message, *, bulk: bool = False) -> None:
        """Publish on the terminal's own topic."""
        self.shout(topics.up(self.id, kind_of(message), bulk=bulk), encode(message))

    def report(self, upgrade: str, what: What, code: Code = Code.OK, **detail: Plain) -> Report:
        """The next report; what was said, so that it may be said again."""
        self.seq += 1
        report = Report(upgrade=upgrade, seq=self.seq, what=what, code=code, detail=detail, at_ms=self.facts.clock_ms)
        self.say(report)
        return report

    async def tell(self, upgrade: str, what: What, code: Code = Code.OK, **detail: Plain) -> None:
        """Report, and wait for the receipt."""
        seq = self.report(upgrade, what, code, **detail).seq
        await self.hear(Receipt, lambda receipt: receipt.upgrade == upgrade and seq in receipt.seqs)

    async def hear(self, kind: type[M], fits: Callable[[M], bool] = lambda _: True, *, wait_s: float = HEAR_S) -> M:
        """The next message of this kind that fits; those of the kind that came before it are passed over."""
        with anyio.fail_after(wait_s):
            while True:
                for at in range(self._read.get(kind, 0), len(self.heard)):
                    message = self._decoded(at)
                    self._read[kind] = at + 1
                    if isinstance(message, kind) and fits(message):
                        return message
                await self.change()

    async def order(self, kind: OrderKind) -> Order:
        """The next order of this kind, its signature checked."""
        signed = await self.hear(Signed, lambda signed: self._open(signed).kind is kind)
        order = self._open(signed)
        self.counter = order.counter
        return order

    def count(self, kind: type[Message]) -> int:
        """How many messages of a kind have come in all."""
        return sum(isinstance(self._decoded(at), kind) for at in range(len(self.heard)))

    async def upgrade_to(self, what: What) -> str:
        """Answer orders as a willing terminal does, up to and with the report ``what``; the upgrade's id."""
        upgrade = str((await self.order(OrderKind.UPGRADE_OFFER)).args["u"])
        await self.tell(upgrade, What.ACCEPTED)
        if what is What.ACCEPTED:
            return upgrade
        await self.order(OrderKind.UPGRADE_PREPARE)
        await self.tell(upgrade, What.READY)
        if what is What.READY:
            return upgrade
        await self.order(OrderKind.UPGRADE_TRANSFER)
        await self.tell(upgrade, What.STAGED)  # it may have the package from anywhere, as long as the hashes hold
        await self.order(OrderKind.UPGRADE_INSTALL)
        await self.tell(upgrade, What.INSTALLING)
        return upgrade

    async def prove(self, upgrade: str, version: str) -> None:
        """Boot into ``version``, pass the self-tests, and commit when told to."""
        self.facts = replace(self.facts, components={**self.facts.components, "app": version}, slot="b")
        await self.appear()
        await self.tell(upgrade, What.BOOTED, version=version)
        await self.tell(upgrade, What.VERIFIED, version=version)
        self.greet()
        await self.order(OrderKind.UPGRADE_COMMIT)
        await self.tell(upgrade, What.COMMITTED)

    def _decoded(self, at: int) -> Message:
        topic, payload = self.heard[at]
        return decode(topics.parse_down(topic).kind, payload)

    def _open(self, signed: Signed) -> Order:
        return open_order(signed, self._ring, terminal=self.id)


class Air:
    """Makes ears and terminals for one test, and silences all of them at its end."""

    def __init__(self) -> None:
        self._ends: list[Ear] = []

    def hand(self, stage: Stage, terminal: str, *, version: str = "1.0.0") -> Hand:
        """A terminal that has not appeared yet."""
        found = Hand(stage, terminal, version=version)
        self._ends.append(found)
        return found

    async def ear(self, broker: Broker, topic_filter: str, *, user: str = "", name: str = "ear") -> Ear:
        """An ear on ``topic_filter`` for ``user``: a terminal, or the gateway when none is named."""
        found = Ear()
        self._ends.append(found)
        password = broker.terminal_password(user) if user else broker.gateway_password
        login = Login(
            client_id=name,
            username=user or broker.gateway_user,
            password=password.encode(),
            topic_filter=topic_filter,
            clean=True,
        )
        await found.connect(broker, login)
        return found

    async def silence(self) -> None:
        """Close all connections."""
        for end in self._ends:
            end.close(abort=True)
        await anyio.wait_all_tasks_blocked()
