"""What the doctor says of a broker, by real ones: as shipped, and each with one thing that is not as it should be."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import anyio

from gateway.doctor.broker import check_broker, check_certificate, check_counters, check_rules
from gateway.doctor.finding import Finding, Status
from gateway.link.settings import LinkSettings
from tests.harness.authority import Authority
from tests.harness.broker import Broker, free_port
from tests.harness.process import Process

OPEN = "allow_anonymous true"


def listens(port: int) -> bool:
    """Whether somebody does."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


@contextmanager
def mosquitto(folder: Path, *lines: str) -> Iterator[LinkSettings]:
    """A broker with these lines and none of ours; how to reach it."""
    port = free_port()
    conf = folder / "mosquitto.conf"
    conf.write_text("\n".join((f"listener {port} 127.0.0.1", "user root", *lines)) + "\n")
    with Process(
        ["mosquitto", "-c", str(conf)], log=folder / "log", env={"PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/bin"}
    ) as one:
        while not listens(port):
            assert one.running, one.output
        yield LinkSettings(host="127.0.0.1", port=port, client_id="doctor", filters=())


def link_of(broker: Broker) -> LinkSettings:
    """How the doctor of a gateway on ``broker`` reaches it."""
    return LinkSettings(
        host=broker.host,
        port=broker.port,
        client_id="doctor",
        filters=(),
        username=broker.gateway_user,
        password=broker.gateway_password,
    )


def statuses(found: list[Finding]) -> dict[str, str]:
    """By check. Whatever is not well says what to do."""
    assert all(bool(one.advice) is (one.status is not Status.OK) for one in found)
    return {one.check: one.status.value for one in found}


async def test_a_broker_as_shipped_is_well(broker: Broker) -> None:
    found = await check_broker(link_of(broker)) + await check_rules(link_of(broker))

    assert statuses(found) == {
        "broker.reach": "ok",
        "broker.echo": "ok",
        "broker.nodelay": "ok",
        "broker.largest": "ok",
        "broker.rules": "ok",
    }


async def test_a_broker_that_is_away_or_refuses_us_is_said_to_be(broker: Broker) -> None:
    away = LinkSettings(host="127.0.0.1", port=free_port(), client_id="doctor", filters=())
    stranger = LinkSettings(host=broker.host, port=broker.port, client_id="doctor", filters=(), username="x", password="y")
    for link in (away, stranger):
        assert statuses(await check_broker(link)) == {"broker.reach": "fail"}
        assert await check_rules(link) == await check_counters(link, 0.1) == []


async def test_rules_that_keep_the_gateway_from_hearing_are_found(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write tg1/up/#\n")
    acl.chmod(0o600)
    with mosquitto(tmp_path, OPEN, f"acl_file {acl}") as link:
        found = await check_broker(link, answer_s=0.5)

    assert statuses(found) == {"broker.reach": "ok", "broker.echo": "fail"}
    assert "doctor the rules of mosquitto/acl" in found[1].advice


async def test_a_broker_without_rules_is_found(tmp_path: Path) -> None:
    with mosquitto(tmp_path, OPEN) as link:
        assert statuses(await check_rules(link)) == {"broker.rules": "warn"}


async def test_packets_that_are_too_large_for_the_broker_are_found(tmp_path: Path) -> None:
    with mosquitto(tmp_path, OPEN, "max_packet_size 20000") as link:
        found = statuses(await check_broker(link, answer_s=0.5))

    assert found["broker.largest"] == "fail"


async def test_what_the_broker_says_of_dropped_messages_is_asked_for(tmp_path: Path) -> None:
    told: list[list[Finding]] = []
    for more in ("retain_available true", "retain_available false"):
        with mosquitto(tmp_path, OPEN, "sys_interval 1", more) as link:
            told.append(await check_counters(link, 5.0))
    assert [statuses(one) for one in told] == [{"broker.dropped": "ok"}] * 2
    assert [one.found for [one] in told] == ["nothing since its start", "nothing just now"]
    silent = tmp_path / "acl"
    silent.write_text("topic write tg1/up/#\n")
    silent.chmod(0o600)
    with mosquitto(tmp_path, OPEN, f"acl_file {silent}") as link:
        [unknown] = await check_counters(link, 0.2)
    assert (unknown.status, unknown.found) == (Status.WARN, "it does not say")


async def test_messages_that_were_dropped_are_counted(tmp_path: Path) -> None:
    """A terminal that is away has room for one message."""
    with mosquitto(tmp_path, OPEN, "sys_interval 1", "max_queued_messages 1", "max_inflight_messages 1") as link:
        away = aiomqtt.Client(link.host, link.port, identifier="t1", clean_session=False)
        async with away:
            await away.subscribe("tg1/dn/t1/+", qos=1)
        async with aiomqtt.Client(link.host, link.port) as gateway:
            for _ in range(9):
                await gateway.publish("tg1/dn/t1/order", b"x", qos=1)
        with anyio.fail_after(20):
            [found] = await check_counters(link, 5.0)
            while found.status is not Status.WARN:  # until the broker has counted
                await anyio.sleep(0.2)
                [found] = await check_counters(link, 5.0)

    assert re.fullmatch(r"[1-9] messages since its start", found.found)


async def test_the_certificate_that_the_broker_shows_is_watched(tmp_path: Path) -> None:
    """It holds from yesterday until tomorrow; seen now, after its end, and before its beginning."""
    authority, stranger = Authority(tmp_path / "certs"), Authority(tmp_path / "others")
    server = authority.issue("broker")
    with mosquitto(tmp_path, OPEN, f"certfile {server.certificate}", f"keyfile {server.key}") as plain:
        link = replace(plain, ca_file=str(authority.certificate))
        found = [await check_certificate(link, datetime.now(UTC) + timedelta(days=days)) for days in (0, 2, -2)]
        unknown = await check_certificate(replace(plain, ca_file=str(stranger.certificate)))
        reached = await check_broker(link)
        missing = await check_certificate(replace(plain, ca_file=str(tmp_path / "none.pem")))
        unencrypted = await check_certificate(plain), await check_certificate(replace(plain, host="broker.example"))

    assert [statuses(one) for one in found] == [{"broker.certificate": status} for status in ("warn", "fail", "fail")]
    assert statuses(unknown) == statuses(missing) == {"broker.certificate": "fail"}
    assert statuses(reached)["broker.echo"] == "ok"
    assert [statuses(one) for one in unencrypted] == [{}, {"broker.tls": "warn"}]


async def test_a_broker_that_lets_small_packets_wait_is_found(tmp_path: Path) -> None:
    with mosquitto(tmp_path, OPEN, "set_tcp_nodelay false") as link:
        found = statuses(await check_broker(link))

    assert found["broker.nodelay"] == "warn"
