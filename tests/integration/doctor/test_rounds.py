"""The whole round: over a real broker and store by the command, and a check that hangs."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from gateway.cli.app import main
from gateway.doctor.finding import Finding
from gateway.doctor.rounds import within
from tests.harness.broker import Broker


async def test_a_check_that_hangs_is_a_finding() -> None:
    async def hangs() -> list[Finding]:
        await anyio.sleep_forever()
        raise AssertionError

    [found] = await within("store", hangs, 0.01)

    assert (found.check, found.status, found.found) == ("store", "fail", "not done within 0.01 s")


def test_the_command_looks_at_everything_and_ends_with_1_when_something_fails(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "gateway"
    assert main(["init", str(home), "--broker-port", str(broker.port), "--http-port", "1"]) == 0
    monkeypatch.setenv("TILLGATE_BROKER_USERNAME", broker.gateway_user)
    monkeypatch.setenv("TILLGATE_BROKER_PASSWORD", broker.gateway_password)
    monkeypatch.setattr("gateway.doctor.rounds.COUNTERS_S", 0.1)
    capsys.readouterr()
    options = ["--config", str(home / "tillgate.toml"), "doctor", "--broker-conf", str(broker.folder / "mosquitto.conf")]
    well = main([*options, "--json"])
    found = {one["check"]: one["status"] for one in json.loads(capsys.readouterr().out)}
    (home / "token").unlink()
    ill = main(options)
    table = capsys.readouterr().out

    assert well == 0, found
    assert {check for check, status in found.items() if status != "ok"} <= {
        "gateway.ready",  # none runs
        "store.file",  # so none has made it
        "broker.dropped",  # not waited for
        "clock.kept",  # this machine's own
        "keys.publisher_private",  # as `init` leaves it
        "disk.store",
        "disk.packages",
    }
    assert found["broker.echo"] == found["broker.conf"] == found["keys.order"] == "ok"
    assert ill == 1
    assert "keys.token" in table
    assert "mend what the text names" in table
