"""``tillgate-sim run`` as its users start it: a process of its own, against a real broker, ended by a signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.trust.keys import new_private_key, public_of, public_text
from tests.harness.broker import Broker

SCENARIO = """
seed = 3
speed = 100.0
[login]
password = "{password}"
[[group]]
ids = {ids}
model = "lakala-4g-esign"
[[group]]
ids = {others}
model = "shengpay-4g-esign"
faults = {{ garbage_every_s = 0.2, duplicate_p = 0.2 }}
"""


def scenario(folder: Path, broker: Broker, terminals: list[str]) -> Path:
    (folder / "keys").mkdir()
    for name in ("order", "publisher"):
        (folder / "keys" / f"{name}.pub").write_text(public_text(public_of(new_private_key())))
    path = folder / "scenario.toml"
    half = len(terminals) // 2
    text = SCENARIO.format(
        password=broker.terminal_password(terminals[0]), ids=json.dumps(terminals[:half]), others=json.dumps(terminals[half:])
    )
    path.write_text(text)
    return path


def command(path: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "device_sim", "run", str(path), *options]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_ends_cleanly_on_a_signal_and_leaves_every_terminals_account(
    tmp_path: Path, broker: Broker, number: signal.Signals
) -> None:
    terminals = broker.new_terminals(20)
    path = scenario(tmp_path, broker, terminals)
    status, state = tmp_path / "status.jsonl", tmp_path / "state"
    options = ("--broker", f"{broker.host}:{broker.port}", "--status", str(status), "--state", str(state), "--quiet")
    with subprocess.Popen(command(path, *options), stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: bool(lines(status)) and lines(status)[-1]["online"] == 20)
            time.sleep(0.5)
        finally:
            process.send_signal(number)
        _, errors = process.communicate(timeout=10)

    assert (process.returncode, errors) == (0, "")
    accounts = lines(state / "terminals.jsonl")
    assert [account["id"] for account in accounts] == terminals
    assert all(account["slot"] == "a" and account["reports"] == [] for account in accounts)
    assert lines(status)[-1]["strays"] == 0


def test_run_ends_after_its_time(tmp_path: Path, broker: Broker) -> None:
    path = scenario(tmp_path, broker, broker.new_terminals(2))
    options = ("--broker", f"{broker.host}:{broker.port}", "--duration", "0.5")
    done = subprocess.run(command(path, *options), check=False, capture_output=True, text=True, timeout=20)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("wrong", [("--broker", "nowhere"), ("--state", "/proc/no/such"), ("--status", "/proc/no")])
def test_mistakes_are_one_line_and_exit_code_two(tmp_path: Path, broker: Broker, wrong: tuple[str, str]) -> None:
    path = scenario(tmp_path, broker, broker.new_terminals(2))
    options = ("--duration", "0.5", *wrong)
    done = subprocess.run(command(path, *options), check=False, capture_output=True, text=True, timeout=20)

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
