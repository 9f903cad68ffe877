"""The swarm over TLS, each terminal by its own certificate, against the listener as shipped; a stranger gets nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest

from device_sim.scenario import Broker as BrokerTable
from device_sim.scenario import load_scenario
from device_sim.swarm import Swarm
from gateway.errors import ConfigError
from gateway.trust.keys import new_private_key, public_of, public_text
from tests.harness.authority import Authority
from tests.harness.broker import CONFIGURATION, Broker, free_port

SCENARIO = """
[broker]
port = {port}
ca = "certs/ca.crt"
certificate = "certs/{{id}}.crt"
key = "certs/{{id}}.key"
[login]
user = ""
bulk_user = ""
[[group]]
prefix = "s-"
count = 3
model = "lakala-4g-esign"
"""


def secured(folder: Path, authority: Authority, port: int) -> Broker:
    """A broker with ``mosquitto/tls.conf`` on ``port``."""
    server = authority.issue("broker")
    text = (CONFIGURATION / "tls.conf").read_text()
    for key, value in (
        ("listener", f"{port} {Broker.host}"),
        ("certfile", server.certificate),
        ("keyfile", server.key),
        ("cafile", authority.certificate),
        ("crlfile", authority.revoked),
    ):
        text = re.sub(rf"(?m)^{key} .*$", f"{key} {value}", text)
    (folder / "conf.d").mkdir(parents=True)
    (folder / "conf.d" / "tls.conf").write_text(text)
    return Broker(folder)


async def until_online(swarm: Swarm, count: int, *, failures: int = 0) -> None:
    """So many are connected, and so many connects have failed."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(swarm.run)
        with anyio.fail_after(20):
            while swarm.status()["online"] < count or swarm.tally.failures < failures:  # noqa: ASYNC110 - the swarm tells nobody
                await anyio.sleep(0.02)
        await anyio.sleep(0.5)
        tasks.cancel_scope.cancel()


async def test_terminals_log_in_by_their_certificates_and_a_revoked_one_does_not(tmp_path: Path) -> None:
    authority, port = Authority(tmp_path / "certs"), free_port()
    identities = {name: authority.issue(name) for name in ("s-1", "s-2", "s-3")}
    authority.revoke(identities["s-3"])
    (tmp_path / "keys").mkdir()
    for name in ("order", "publisher"):
        (tmp_path / "keys" / f"{name}.pub").write_text(public_text(public_of(new_private_key())))
    (tmp_path / "scenario.toml").write_text(SCENARIO.format(port=port))
    scenario = load_scenario(tmp_path / "scenario.toml")
    with secured(tmp_path / "broker", authority, port):
        swarm = Swarm(scenario.plans(0), scenario.broker.address(["s-1", "s-2", "s-3"]))
        await until_online(swarm, 2, failures=2)

    states = {state["id"]: state for state in swarm.states()}
    assert [states[name]["epoch"] for name in ("s-1", "s-2")] == [1, 1]
    assert states["s-3"]["epoch"] >= 2, "it keeps trying"


def test_missing_certificates_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.crt"):
        BrokerTable(ca=tmp_path / "no.crt").address([])
    broker = BrokerTable(ca=Authority(tmp_path).certificate, certificate=str(tmp_path / "{id}.crt"))
    with pytest.raises(ConfigError, match=r"s-1\.crt"):
        broker.address(["s-1"])
