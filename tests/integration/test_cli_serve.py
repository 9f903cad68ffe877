"""``tillgate serve`` as an operator runs it: against a real broker, started, asked, doubled by mistake, and stopped."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from gateway.cli.app import main
from tests.harness.broker import Broker
from tests.harness.process import Process

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(check: Callable[[], bool], timeout_s: float = 20) -> None:
    """Until ``check`` holds."""
    until = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < until
        time.sleep(0.05)


def serve(folder: Path, log: Path, broker: Broker) -> Process:
    """A gateway process for what ``init`` made in ``folder``."""
    env = {
        "PYTHONPATH": str(ROOT),
        "TILLGATE_BROKER_USERNAME": broker.gateway_user,
        "TILLGATE_BROKER_PASSWORD": broker.gateway_password,
    }
    return Process([sys.executable, "-m", "gateway", "--config", str(folder / "tillgate.toml"), "serve"], log=log, env=env)


def test_a_gateway_is_made_run_asked_and_stopped(
    tmp_path: Path, broker: Broker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in [key for key in os.environ if key.startswith("TILLGATE_")]:
        monkeypatch.delenv(key)
    folder, port = tmp_path / "gateway", free_port()
    assert main(["init", str(folder), "--broker-port", str(broker.port), "--http-port", str(port)]) == 0
    monkeypatch.setenv("TILLGATE_CONFIG", str(folder / "tillgate.toml"))
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert gateway.running, gateway.output
        try:
            return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    with serve(folder, tmp_path / "gateway.log", broker) as gateway:
        wait_for(ready)
        capsys.readouterr()
        assert main(["status"]) == 0
        assert "ready" in capsys.readouterr().out
        assert main(["terminal", "register", "T1", "--model", "m-1"]) == 0

        with serve(folder, tmp_path / "second.log", broker) as second:
            assert second.wait(20) == 2
        [line] = second.output.splitlines()
        assert line.startswith("tillgate: ")
        assert "another gateway" in line.lower()

        capsys.readouterr()
        assert main(["terminal", "list", "--json"]) == 0
        assert [item["id"] for item in json.loads(capsys.readouterr().out)] == ["T1"]
        assert gateway.stop() == 0

    assert (folder / "token").read_text().strip() not in gateway.output
    assert broker.gateway_password not in gateway.output
    assert all(json.loads(line)["event"] for line in gateway.output.splitlines())
