"""Decoders of what lies in files: rows of the store, settings, scenarios, profiles and lists of terminals."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from device_sim.profiles import read_profile
from device_sim.reading import read_toml
from device_sim.scenario import read_scenario
from gateway import config
from gateway.cli.failures import CommandError
from gateway.cli.terminal import read_fleet
from gateway.core import snapshot
from gateway.core.plan import Plan, Target
from gateway.core.readiness import Need
from gateway.core.states import UpgradeState
from gateway.core.transfer.meter import Meter
from gateway.core.upgrade import Upgrade
from gateway.errors import ConfigError, StoreError
from gateway.store import jsontext
from gateway.wire.codec import decode
from gateway.wire.ranges import RangeSet
from tests.fuzz.decoder import ROOT, Decoder, accepted, same

# -- what was stored


@cache
def _plan() -> Plan:
    target = Target(package="p1", component="app", version="2.0.0", size_bytes=300_000, sha256=b"\1" * 32, manifest=b"")
    return Plan(
        campaign="c1",
        target=target,
        need=Need(battery_min_pct=30, storage_min_bytes=1),
        ask_merchant=True,
        soak_s=600.0,
        health_every_s=60.0,
        boot_budget_s=300.0,
        ends_at=2e9,
    )


def _restored(blob: bytes) -> Upgrade:
    return snapshot.restore("u1", "T1", _plan(), state="transferring", attempt=1, code="ok", snapshot=blob)


def _snapshot(data: bytes) -> bool:
    with suppress(StoreError):
        found = _restored(data)
        same(found, _restored(snapshot.save(found, 0).snapshot))
        return True
    return False


def _json_column(data: bytes) -> bool:
    with suppress(StoreError):
        found = jsontext.load(data.decode("utf-8", "replace"))
        written = jsontext.dump(found)
        same(written, jsontext.dump(jsontext.load(written)))
        return True
    return False


def _facts(data: bytes) -> bool:
    with suppress(StoreError):
        jsontext.load_facts(data.decode("utf-8", "replace"))
        return True
    return False


# -- files of operators


def _settings(data: bytes) -> bool:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "tillgate.toml"
        path.write_bytes(data)
        with suppress(ConfigError):
            config.load(path)
            return True
    return False


def _scenario(data: bytes) -> bool:
    with suppress(ConfigError):
        read_scenario(read_toml(data, "scenario"), folder=Path(), where="scenario")
        return True
    return False


def _profile(data: bytes) -> bool:
    with suppress(ConfigError):
        read_profile(read_toml(data, "profile"), where="profile")
        return True
    return False


def _fleet(data: bytes) -> bool:
    with suppress(CommandError):
        for row in read_fleet(io.StringIO(data.decode("utf-8", "replace"), newline=""), "fleet"):
            same([row], list(read_fleet(io.StringIO(row.model_dump_json()), "fleet")))
        return True
    return False


# -- seeds


def _snapshots() -> list[bytes]:
    idle = Upgrade("u1", "T1", _plan(), state=UpgradeState.TRANSFERRING)
    meter = Meter(1e6)
    meter.connected()
    meter.sent(0, 8, 8192)
    busy = Upgrade("u1", "T1", _plan(), state=UpgradeState.TRANSFERRING, zone="Asia/Shanghai", top_seq=9, step=3, transfer=7)
    busy.seqs, busy.have = RangeSet([(1, 4), (6, 9)]), RangeSet([(0, 2)])
    busy.meter = meter.pack(1e6 + 9)
    return [snapshot.save(upgrade, 0).snapshot for upgrade in (idle, busy)]


def _fact_columns() -> list[bytes]:
    hellos = [decode("hello", payload) for payload in accepted("hello")]
    return [jsontext.dump_facts(getattr(hello, "facts")).encode() for hello in hellos]  # noqa: B009 - every one is a hello


def _read(*paths: str) -> list[bytes]:
    return [(ROOT / path).read_bytes() for path in paths]


def _settings_files() -> list[bytes]:
    lines = []
    for name, field in config.Settings.model_fields.items():
        if isinstance(field.default, str | int):
            lines.append(f"{name} = {json.dumps(field.default)}")
    return ["\n".join(lines).encode(), b'publisher_key_files = ["a", "b"]\ntoken_file = "t"\n']


def _fleets() -> list[bytes]:
    return [b"id,model,region\ntill-1,m,east\ntill-2,m,\n", b'{"id": "till-1", "model": "m", "labels": {"region": "east"}}\n']


def of_files() -> Iterable[Decoder]:
    """Rows of the store and files of operators."""
    yield Decoder("snapshot", _snapshot, _snapshots)
    yield Decoder("JSON column", _json_column, _fact_columns)
    yield Decoder("facts column", _facts, _fact_columns)
    yield Decoder("settings", _settings, _settings_files)
    yield Decoder("scenario", _scenario, lambda: _read("device_sim/demo.toml", "device_sim/example.toml"), 8192)
    yield Decoder("profile", _profile, lambda: [path.read_bytes() for path in (ROOT / "device_sim/profiles").glob("*.toml")])
    yield Decoder("fleet file", _fleet, _fleets)
