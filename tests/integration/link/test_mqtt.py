"""``MqttLink`` on real brokers that come, go, freeze and refuse."""

from __future__ import annotations

import gc
import itertools
import signal
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from gateway.engine.ports import Link
from gateway.errors import LinkError
from gateway.link import LinkSettings, MqttLink
from gateway.link.mqtt import probe_topic
from gateway.wire import topics
from tests.harness.authority import Authority
from tests.harness.broker import Broker, free_port

CONTROL = tuple((f"tg1/up/+/+/{kind}", 1) for kind in ("presence", "hello", "report", "result", "log"))
BULK = (("tg1/up/+/+/ack", 0),)

_numbers = itertools.count(1)


def gateway(broker: Broker, *, filters: tuple[tuple[str, int], ...] = CONTROL) -> LinkSettings:
    """The gateway's settings, with a client id of its own and short waits."""
    return LinkSettings(
        host=broker.host,
        port=broker.port,
        client_id=f"link-{next(_numbers)}",
        username=broker.gateway_user,
        password=broker.gateway_password,
        filters=filters,
        backoff_base_s=0.02,
        backoff_cap_s=0.1,
    )


def terminal(broker: Broker) -> tuple[str, LinkSettings]:
    """A new terminal, and settings to connect as it: the same link serves as the other side."""
    [name] = broker.new_terminals(1)
    password = broker.terminal_password(name)
    return name, replace(
        gateway(broker), client_id=name, username=name, password=password, filters=((topics.down_filter(name), 1),)
    )


@asynccontextmanager
async def running(settings: LinkSettings, *, up: bool = True) -> AsyncIterator[MqttLink]:
    link = MqttLink(settings)
    async with anyio.create_task_group() as group:
        group.start_soon(link.run)
        if up:
            with anyio.fail_after(5):
                assert await link.wait_change(generation=0, connected=False) == (1, True)
        yield link
        group.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """For what the link only counts."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # nothing to wait on
            await anyio.sleep(0.005)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def received(link: Link, count: int) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    with anyio.fail_after(10):
        while len(found) < count:
            found += await link.receive()
    return found


@pytest.mark.parametrize("qos", [0, 1])
async def test_messages_arrive_in_order_in_batches(broker: Broker, qos: int) -> None:
    name, other = terminal(broker)
    sent = [(topics.up(name, "report"), str(at).encode()) for at in range(1000)]

    async with running(gateway(broker)) as link, running(other) as sender:
        assert await sender.publish_many(sent, qos=qos) == 1000
        await until(lambda: link.counters["received"] == 1000)
        first = await link.receive()

        assert len(first) == 512
        assert first + await received(link, 488) == sent
        assert sender.counters["published"] == 1000


async def test_control_and_bulk_each_hear_their_own(broker: Broker) -> None:
    name, other = terminal(broker)
    report, ack = (topics.up(name, "report"), b"1"), (topics.up(name, "ack", bulk=True), b"2")

    async with running(gateway(broker)) as control, running(gateway(broker, filters=BULK)) as bulk, running(other) as sender:
        for topic, payload in (report, ack):
            await sender.publish(topic, payload, qos=1)

        assert await received(control, 1) == [report]
        assert await received(bulk, 1) == [ack]


async def test_confirmed_publishes_keep_to_their_window(broker: Broker) -> None:
    name, other = terminal(broker)
    sent = [(topics.down(name, "order"), str(at).encode()) for at in range(500)]

    async with running(replace(gateway(broker), unconfirmed_messages=7)) as link, running(other) as receiver:
        async with anyio.create_task_group() as group:  # two at once share one window
            group.start_soon(lambda: link.publish_many(sent[:250], qos=1))
            group.start_soon(lambda: link.publish_many(sent[250:], qos=1))

        assert sorted(await received(receiver, 500)) == sorted(sent)


async def test_full_inbox_drops_the_newcomers_and_counts_them(broker: Broker) -> None:
    name, other = terminal(broker)
    sent = [(topics.up(name, "report"), str(at).encode()) for at in range(50)]

    async with running(replace(gateway(broker), inbox_messages=10)) as link, running(other) as sender:
        await sender.publish_many(sent, qos=1)
        await until(lambda: link.counters["received"] == 50)

        assert await link.receive() == sent[:10]
        assert link.counters["dropped_inbox_full"] == 40


async def test_oversized_payload_is_dropped_and_counted(broker: Broker) -> None:
    name, other = terminal(broker)
    topic = topics.up(name, "report")

    async with running(replace(gateway(broker), payload_bytes=100)) as link, running(other) as sender:
        await sender.publish_many([(topic, bytes(101)), (topic, bytes(100))], qos=1)

        assert await received(link, 1) == [(topic, bytes(100))]
        assert link.counters["oversized"] == 1


async def test_broker_killed_and_restarted_is_found_again(own_broker: Broker) -> None:
    name, other = terminal(own_broker)
    message = (topics.up(name, "report"), b"after")

    async with running(gateway(own_broker)) as link:
        own_broker.kill()
        assert await link.wait_change(generation=1, connected=True) == (1, False)
        assert "closed the connection" in link.reason
        await until(lambda: link.counters["connect_failed"] > 0)
        assert "refused" in link.reason

        own_broker.start()
        assert await link.wait_change(generation=1, connected=False) == (2, True)
        assert link.reason == ""
        async with running(other) as sender:
            await sender.publish(*message, qos=1)
            assert await received(link, 1) == [message]
        assert link.counters["reconnects"] == 1


async def test_broker_away_at_start_is_waited_for(own_broker: Broker) -> None:
    own_broker.kill()

    async with running(gateway(own_broker), up=False) as link:
        await until(lambda: link.counters["connect_failed"] >= 2)
        assert not link.connected
        own_broker.start()
        with anyio.fail_after(5):
            assert await link.wait_change(generation=0, connected=False) == (1, True)


async def test_publishing_while_down_fails_at_once() -> None:
    link = MqttLink(LinkSettings(host="127.0.0.1", port=free_port(), client_id="x", filters=BULK))

    for qos in (0, 1):
        with pytest.raises(LinkError, match="not connected yet"):
            await link.publish("tg1/dn/t/order", b"x", qos=qos)
        assert await link.publish_many([("tg1/dn/t/order", b"x")], qos=qos) == 0
    assert not await link.echo(10)
    assert link.counters["publish_failed"] == 4 + len(BULK)


async def test_frozen_broker_holds_the_publisher_back_in_bounded_memory(own_broker: Broker) -> None:
    """32 MiB for a broker that takes none of it, then all of it."""
    messages = [("tg1/dn/nobody/chunk", bytes(64 * 1024))] * 512
    handed_over: list[int] = []

    async with running(gateway(own_broker)) as link:

        async def publish() -> None:
            handed_over.append(await link.publish_many(messages, qos=0))

        own_broker.signal(signal.SIGSTOP)
        try:
            tracemalloc.start()
            async with anyio.create_task_group() as group:
                group.start_soon(publish)
                await anyio.sleep(0.3)
                _, peak_bytes = tracemalloc.get_traced_memory()
                held_back = not handed_over
                own_broker.signal(signal.SIGCONT)
        finally:
            tracemalloc.stop()
            own_broker.signal(signal.SIGCONT)

    assert held_back
    assert peak_bytes < 2 * 1024 * 1024
    assert handed_over == [512]


async def test_broker_that_stays_frozen_is_given_up(own_broker: Broker) -> None:
    messages = [("tg1/dn/nobody/chunk", bytes(64 * 1024))] * 512

    async with running(replace(gateway(own_broker), keepalive_s=1, answer_timeout_s=0.2)) as link:
        own_broker.signal(signal.SIGSTOP)
        try:
            with pytest.raises(LinkError) as failure:
                await link.publish("tg1/dn/nobody/order", b"x", qos=1)
            assert failure.value.code == "link_timeout"

            with anyio.fail_after(10):
                assert await link.publish_many(messages, qos=0) < 512
                assert await link.wait_change(generation=1, connected=True) == (1, False)
            assert "eep alive" in link.reason
            assert link.counters["unconfirmed_lost"] == 1
        finally:
            own_broker.signal(signal.SIGCONT)


async def test_two_clients_with_one_id_slow_down_and_say_so(broker: Broker) -> None:
    settings = replace(gateway(broker), backoff_base_s=0.01, backoff_cap_s=10.0)

    async with running(settings, up=False) as one, running(settings, up=False) as other:
        await until(lambda: one.counters["rival_suspected"] + other.counters["rival_suspected"] > 0)
        await anyio.sleep(1.0)
        connects = one.generation + other.generation

    assert connects < 30  # without a memory of short lives: hundreds


async def test_echo_proves_that_every_subscription_delivers(broker: Broker) -> None:
    async with running(gateway(broker)) as link:
        assert await link.echo(5)
        assert link.counters["received"] == 0


async def test_echo_stays_away_where_the_rules_deny_what_was_granted(broker: Broker) -> None:
    """A terminal may subscribe to all uplinks, and hears none."""
    _, other = terminal(broker)

    async with running(replace(other, filters=CONTROL)) as link:
        assert link.connected
        assert not await link.echo(0.2)


@pytest.mark.parametrize(
    ("topic_filter", "topic"),
    [
        ("tg1/up/+/+/ack", "tg1/up/0/_gateway/ack"),
        ("tg1/up/17/+/report", "tg1/up/17/_gateway/report"),
        ("tg1/dn/t1/#", "tg1/dn/t1/_gateway"),
    ],
)
def test_probe_lies_under_its_filter(topic_filter: str, topic: str) -> None:
    assert probe_topic(topic_filter) == topic


async def test_wrong_password_is_told_as_the_reason(broker: Broker) -> None:
    async with running(replace(gateway(broker), password="wrong"), up=False) as link:
        await until(lambda: link.counters["connect_failed"] > 0)

        assert "Not authorized" in link.reason


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")  # paho drops a socket whose handshake failed
async def test_tls_checks_the_broker(own_broker: Broker, tmp_path: Path) -> None:
    authority, stranger, port = Authority(tmp_path / "ca"), Authority(tmp_path / "stranger"), free_port()
    server = authority.issue("broker")
    (own_broker.folder / "conf.d" / "tls.conf").write_text(
        f"listener {port} {own_broker.host}\ncertfile {server.certificate}\nkeyfile {server.key}\n"
    )
    own_broker.restart()
    settings = replace(gateway(own_broker), port=port, ca_file=str(authority.certificate))

    async with running(settings) as link:
        assert await link.echo(5)
        big = ("tg1/up/0/_gateway/log", bytes(60_000))
        assert await link.publish_many([big] * 20, qos=0) == 20
        assert await link.echo(5)

    async with running(replace(settings, ca_file=str(stranger.certificate)), up=False) as link:
        await until(lambda: link.counters["connect_failed"] > 0)
        assert "certificate" in link.reason
    async with running(replace(settings, ca_file=str(tmp_path / "missing")), up=False) as link:
        await until(lambda: link.counters["connect_failed"] > 0)
        assert "No such file" in link.reason
    gc.collect()  # while its warning is still ignored, not in the next test


async def test_stopping_leaves_no_descriptor_open(broker: Broker) -> None:
    """A socket that nobody closed would also be a ResourceWarning, which is an error here."""
    async with running(gateway(broker)):
        pass  # the loop's own threads and pipes are there now
    before = open_descriptors()

    async with running(gateway(broker)) as link, anyio.create_task_group() as group:
        group.start_soon(link.receive)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()

    assert open_descriptors() == before
    assert (link.connected, link.reason) == (False, "stopped")
