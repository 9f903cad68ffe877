"""What ``mosquitto/acl`` grants, shown by a real broker: whoever may not say or hear a thing does not."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiomqtt
import anyio
import pytest

from gateway.wire import topics
from tests.harness.broker import Broker, connack

#: How long a message may take on the loopback; a test that waits for one fails after it (seconds).
ARRIVAL_S = 5.0


@asynccontextmanager
async def login(broker: Broker, user: str, password: str, *, client: str = "") -> AsyncIterator[aiomqtt.Client]:
    """A connection as ``user``."""
    async with aiomqtt.Client(
        broker.host, broker.port, username=user, password=password, identifier=client or user, timeout=ARRIVAL_S
    ) as connected:
        yield connected


@asynccontextmanager
async def terminal(broker: Broker, name: str, *, bulk: bool = False) -> AsyncIterator[aiomqtt.Client]:
    """A terminal's control or bulk connection: one user, two client ids."""
    client = name + topics.BULK_SUFFIX if bulk else name
    async with login(broker, name, broker.terminal_password(name), client=client) as connected:
        yield connected


@asynccontextmanager
async def gateway(broker: Broker) -> AsyncIterator[aiomqtt.Client]:
    """A connection as the gateway."""
    async with login(broker, broker.gateway_user, broker.gateway_password) as connected:
        yield connected


async def heard(client: aiomqtt.Client, *, last: str) -> list[str]:
    """The topics that arrive at ``client`` up to and with ``last``, which the broker lets through behind all the others."""
    found: list[str] = []
    with anyio.fail_after(ARRIVAL_S):
        async for message in client.messages:
            found.append(message.topic.value)
            if found[-1] == last:
                break
    return found


@contextmanager
def dying(broker: Broker, name: str, *, will: str) -> Iterator[None]:
    """A bare connection of ``name`` that leaves ``will`` as the topic of its last message (MQTT 3.1.1, QoS 0)."""
    texts = (name, will, "gone", name, broker.terminal_password(name))
    body = b"\x00\x04MQTT\x04\xc6\x00\x0a" + b"".join(len(text).to_bytes(2) + text.encode() for text in texts)
    with socket.create_connection((broker.host, broker.port), timeout=ARRIVAL_S) as line:
        line.sendall(b"\x10" + len(body).to_bytes(1) + body)
        assert line.recv(4) == b"\x20\x02\x00\x00"
        yield


async def test_terminal_speaks_to_the_gateway_on_both_connections(broker: Broker) -> None:
    """Acks on either: a terminal with one connection has no other for them."""
    [name] = broker.new_terminals(1)
    spoken = [topics.up(name, "report"), topics.up(name, "ack"), topics.up(name, "ack", bulk=True)]

    async with gateway(broker) as listener, terminal(broker, name) as control, terminal(broker, name, bulk=True) as bulk:
        await listener.subscribe("tg1/up/#", qos=1)
        await control.publish(spoken[0], b"1", qos=1)
        await control.publish(spoken[1], b"2", qos=1)
        await bulk.publish(spoken[2], b"3")

        assert await heard(listener, last=spoken[2]) == spoken


async def test_gateway_speaks_to_each_connection_of_a_terminal(broker: Broker) -> None:
    [name] = broker.new_terminals(1)

    for bulk in (False, True):
        topic = topics.down(name, "chunk", bulk=bulk)
        async with terminal(broker, name, bulk=bulk) as listener, gateway(broker) as speaker:
            await listener.subscribe(topics.down_filter(name, bulk=bulk))
            await speaker.publish(topic, b"1", qos=1)

            assert await heard(listener, last=topic) == [topic]


async def test_terminal_cannot_speak_as_another(broker: Broker) -> None:
    """Neither for the other's control connection nor its bulk one, nor with a name that only begins like its own."""
    name, other = broker.new_terminals(2)
    forged = [
        topics.up(other, "report"),
        topics.up(other, "ack"),
        topics.up(other, "ack", bulk=True),
        topics.up(f"{name}0", "report"),
        topics.up("_gateway", "report"),
        f"tg1/up/0/{name}/deeper/report",
        f"tg1/up/{name}/report",
    ]
    own = topics.up(name, "report")

    async with gateway(broker) as listener, terminal(broker, name) as liar:
        await listener.subscribe("tg1/#", qos=1)
        for topic in [*forged, own]:
            await liar.publish(topic, b"1", qos=1)

        assert await heard(listener, last=own) == [own]


@pytest.mark.parametrize("listens_to", ["#", "tg1/dn/#", "tg1/#", "+/+/+/+"])
async def test_terminal_hears_nothing_of_another(broker: Broker, listens_to: str) -> None:
    name, other = broker.new_terminals(2)
    own = topics.down(name, "receipt")

    async with terminal(broker, name) as listener, gateway(broker) as speaker:
        await listener.subscribe(listens_to)
        others = [topics.down(other, "order"), topics.down(other, "chunk"), topics.down(other, "chunk", bulk=True)]
        for topic in (*others, topics.up(other, "report"), own):
            await speaker.publish(topic, b"1", qos=1)

        assert await heard(listener, last=own) == [own]


async def test_terminal_cannot_order(broker: Broker) -> None:
    """It may not write downlink topics, not even its own: an order comes from the gateway or not at all."""
    name, other = broker.new_terminals(2)
    receipt = topics.down(other, "receipt")

    async with terminal(broker, other) as victim, terminal(broker, name) as liar, gateway(broker) as speaker:
        await victim.subscribe(topics.down_filter(other))
        await liar.subscribe(topics.down_filter(name))
        await liar.publish(topics.down(other, "order"), b"1", qos=1)
        await liar.publish(topics.down(name, "order"), b"1", qos=1)
        await speaker.publish(receipt, b"2", qos=1)
        await speaker.publish(topics.down(name, "receipt"), b"2", qos=1)

        assert await heard(victim, last=receipt) == [receipt]
        assert await heard(liar, last=topics.down(name, "receipt")) == [topics.down(name, "receipt")]


async def test_terminal_cannot_leave_a_will_for_another(broker: Broker) -> None:
    """Or else its own death would be told as the other's. A successor on the same client id makes the broker tell the will."""
    name, other = broker.new_terminals(2)
    own, forged = topics.up(name, "presence"), topics.up(other, "presence")
    after = topics.up(name, "hello")

    async with gateway(broker) as listener:
        await listener.subscribe("tg1/up/#", qos=1)
        for will in (own, forged):
            with dying(broker, name, will=will):
                async with terminal(broker, name) as successor:
                    await successor.publish(after, b"1", qos=1)

        assert await heard(listener, last=after) == [own, after]
        assert await heard(listener, last=after) == [after]


async def test_gateway_hears_itself_on_the_topics_kept_for_it(broker: Broker) -> None:
    """The link proves in this way that its subscriptions deliver."""
    topic = "tg1/up/0/_gateway/report"

    async with gateway(broker) as link:
        await link.subscribe("tg1/up/+/+/report", qos=1)
        await link.publish(topic, b"1", qos=1)

        assert await heard(link, last=topic) == [topic]


async def test_retained_message_ends_the_connection(broker: Broker) -> None:
    [name] = broker.new_terminals(1)

    async with terminal(broker, name) as rude:
        await rude.publish(topics.up(name, "report"), b"1", retain=True)
        with pytest.raises(aiomqtt.MqttError):
            await heard(rude, last="nothing")


async def test_largest_payload_passes_and_a_larger_packet_ends_the_connection(broker: Broker) -> None:
    [name] = broker.new_terminals(1)
    topic = topics.up(name, "report")

    async with gateway(broker) as listener, terminal(broker, name) as speaker:
        await listener.subscribe("tg1/up/#", qos=1)
        await speaker.publish(topic, bytes(65_536), qos=1)
        assert await heard(listener, last=topic) == [topic]

    async with terminal(broker, name) as rude:
        await rude.publish(topic, bytes(70_000))
        with pytest.raises(aiomqtt.MqttError):
            await heard(rude, last="nothing")


def test_nobody_logs_in_without_a_name_and_its_password(broker: Broker) -> None:
    [name] = broker.new_terminals(1)
    password = broker.terminal_password(name)

    assert connack(broker.host, broker.port, name, name, password) == 0
    assert connack(broker.host, broker.port, name, name, "wrong") == 5
    assert connack(broker.host, broker.port, name, f"{name}-unknown", password) == 5
    assert connack(broker.host, broker.port, name, broker.gateway_user, password) == 5


async def test_a_persistent_session_outlives_a_restart_of_the_broker(own_broker: Broker) -> None:
    [name] = own_broker.new_terminals(1)
    topic = topics.down(name, "order")

    def persistent() -> aiomqtt.Client:
        return aiomqtt.Client(
            own_broker.host,
            own_broker.port,
            username=name,
            password=own_broker.terminal_password(name),
            identifier=name,
            clean_session=False,
        )

    async with persistent() as control:
        await control.subscribe(topics.down_filter(name), qos=1)
    own_broker.restart()
    async with gateway(own_broker) as speaker:
        await speaker.publish(topic, b"1", qos=1)

    async with persistent() as control:
        assert await heard(control, last=topic) == [topic]
