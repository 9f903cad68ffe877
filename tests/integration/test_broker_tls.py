"""The listener of ``mosquitto/tls.conf`` on a real broker: a certificate decides who one is, a revoked one gets nobody in."""

from __future__ import annotations

import re
import signal
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import aiomqtt
import anyio
import anyio.lowlevel
import pytest

from gateway.wire import topics
from tests.harness.authority import Authority, Identity
from tests.harness.broker import CONFIGURATION, Broker, connack, free_port

ARRIVAL_S = 5.0


class Secure(NamedTuple):
    """A broker with a TLS listener, and the authority that its listener believes."""

    broker: Broker
    port: int
    authority: Authority


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Secure]:
    """``mosquitto/tls.conf`` as shipped, with other paths and a free port."""
    authority, port, folder = Authority(tmp_path / "certs"), free_port(), tmp_path / "broker"
    server = authority.issue("broker")
    text = (CONFIGURATION / "tls.conf").read_text()
    for key, value in (
        ("listener", f"{port} {Broker.host}"),
        ("certfile", server.certificate),
        ("keyfile", server.key),
        ("cafile", authority.certificate),
        ("crlfile", authority.revoked),
    ):
        text, found = re.subn(rf"(?m)^{key} .*$", f"{key} {value}", text)
        assert found == 1, key
    (folder / "conf.d").mkdir(parents=True)
    (folder / "conf.d" / "tls.conf").write_text(text)

    with Broker(folder) as broker:
        yield Secure(broker, port, authority)


def context_of(secure: Secure, identity: Identity | None) -> ssl.SSLContext:
    """A client's side of TLS: it checks the broker, and shows ``identity``."""
    context = ssl.create_default_context(cafile=str(secure.authority.certificate))
    context.check_hostname = False
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


def connection(secure: Secure, name: str, *, client: str, user: str | None = None) -> aiomqtt.Client:
    """A connection with a certificate for ``name`` which, when given, claims to be ``user``."""
    context = context_of(secure, secure.authority.issue(name))
    return aiomqtt.Client(
        secure.broker.host, secure.port, tls_context=context, identifier=client, username=user, timeout=ARRIVAL_S
    )


def login(secure: Secure, context: ssl.SSLContext, user: str = "") -> int | None:
    """0 when the broker lets one in, ``None`` when it hangs up before it has answered."""
    return connack(secure.broker.host, secure.port, "client", user, "", tls=context)


async def next_topic(client: aiomqtt.Client) -> str:
    """The topic of the next message."""
    with anyio.fail_after(ARRIVAL_S):
        return (await anext(aiter(client.messages))).topic.value


@pytest.mark.parametrize("client", ["t1", "t1.b"])
async def test_certificate_is_who_one_is_on_both_connections(secure: Secure, client: str) -> None:
    """Also for the gateway, which comes in by TLS when it lives on another machine."""
    bulk = client.endswith(topics.BULK_SUFFIX)
    gateway = connection(secure, "tillgate", client="gateway")
    terminal = connection(secure, "t1", client=client)

    async with gateway, terminal:
        await gateway.subscribe("tg1/up/#", qos=1)
        await terminal.subscribe(topics.down_filter("t1", bulk=bulk), qos=1)
        await terminal.publish(topics.up("t1", "ack", bulk=bulk), b"1", qos=1)
        await gateway.publish(topics.down("t1", "chunk", bulk=bulk), b"1", qos=1)

        assert await next_topic(gateway) == topics.up("t1", "ack", bulk=bulk)
        assert await next_topic(terminal) == topics.down("t1", "chunk", bulk=bulk)


async def test_user_name_of_another_is_not_believed(secure: Secure) -> None:
    gateway = connection(secure, "tillgate", client="gateway")
    liar = connection(secure, "t1", client="t2", user="t2")

    async with gateway, liar:
        await gateway.subscribe("tg1/up/#", qos=1)
        await liar.publish(topics.up("t2", "report"), b"1", qos=1)
        await liar.publish(topics.up("t1", "report"), b"1", qos=1)

        assert await next_topic(gateway) == topics.up("t1", "report")


def test_no_certificate_or_a_stranger_s_is_refused(secure: Secure, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger").issue("tillgate")

    assert login(secure, context_of(secure, None), user="tillgate") is None
    assert login(secure, context_of(secure, stranger)) is None


async def test_revoked_certificate_is_refused_after_a_reload(secure: Secure) -> None:
    stolen, other = secure.authority.issue("t1"), secure.authority.issue("t2")
    assert login(secure, context_of(secure, stolen)) == 0

    secure.authority.revoke(stolen)
    secure.broker.signal(signal.SIGHUP)
    with anyio.fail_after(ARRIVAL_S):
        while login(secure, context_of(secure, stolen)) == 0:
            await anyio.lowlevel.checkpoint()

    assert login(secure, context_of(secure, other)) == 0
    assert login(secure, context_of(secure, None), user="t2") is None


async def test_name_in_the_certificate_still_counts_after_a_reload(secure: Secure) -> None:
    secure.broker.add_terminals(["t3"])  # reloads
    await test_user_name_of_another_is_not_believed(secure)


@pytest.mark.parametrize(
    ("version", "answer"), [(ssl.TLSVersion.TLSv1_1, None), (ssl.TLSVersion.TLSv1_2, 0), (ssl.TLSVersion.TLSv1_3, 0)]
)
def test_tls_1_2_is_the_oldest_that_is_spoken(secure: Secure, version: ssl.TLSVersion, answer: int | None) -> None:
    context = context_of(secure, secure.authority.issue("t1"))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # or else our own side would refuse 1.1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version

    assert login(secure, context) == answer
