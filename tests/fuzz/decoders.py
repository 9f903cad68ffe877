"""Every decoder of bytes that come from outside, each under one rule: it reads or refuses by its own error, and no more.

``read`` of a decoder takes any bytes and says whether they were read or refused; what was read must mean the same after it was
written again. Whatever it raises is a bug. ``tests/property/test_decoders.py`` asks a little of each at
every run, ``python -m tests.fuzz`` (``scripts/fuzz``) for as long as one likes. ``seeds`` are well-formed inputs to begin with.
"""

from __future__ import annotations

import asyncio
import io
import json
import struct
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import anyio
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import Message, Scope

from device_sim.profiles import read_profile
from device_sim.reading import read_toml
from device_sim.scenario import read_scenario
from gateway import config
from gateway.api import problems
from gateway.api.budget_models import BudgetIn
from gateway.api.campaign_models import CampaignIn, ResumeIn
from gateway.api.order_models import OrderIn
from gateway.api.terminal_models import RegisterIn
from gateway.cli.failures import CommandError
from gateway.cli.terminal import read_fleet
from gateway.core import snapshot
from gateway.core.plan import Plan, Target
from gateway.core.readiness import Need
from gateway.core.states import UpgradeState
from gateway.core.transfer.meter import Meter
from gateway.core.upgrade import Upgrade
from gateway.errors import ConfigError, RequestError, StoreError, TooLargeError, TrustError, WireError
from gateway.packages.format import head, split_head
from gateway.packages.ingest import ingest
from gateway.services import cursors
from gateway.store import jsontext
from gateway.trust import manifest as manifests
from gateway.trust.keys import KeyRing, load_private, load_public, private_text, public_of, public_text
from gateway.trust.signed import sign
from gateway.wire.codec import TABLES, decode, decode_order, decode_signed, encode, encode_order, kind_of
from gateway.wire.ranges import RangeSet
from gateway.wire.topics import down, parse_down, parse_up, up

Read = Callable[[bytes], bool]
"""Whether the bytes were read; they were refused otherwise."""

ROOT: Final = Path(__file__).parents[2]
VECTORS: Final = ROOT / "tests" / "vectors"
PRIVATE: Final = bytes(range(32))
PUBLISHER: Final = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")  # of the vectors
RING: Final = KeyRing([public_of(PRIVATE), PUBLISHER])
WIRE_CODES: Final = frozenset({"payload_too_large", "kind_unknown", "not_msgpack", "field_invalid"})
#: Largest payload of a package that the fuzzer makes: two segments, so that it sees an edge.
PAYLOAD_MAX_BYTES: Final = 200_000


@dataclass(frozen=True, slots=True)
class Decoder:
    """See the module."""

    name: str
    read: Read
    seeds: Callable[[], Sequence[bytes]]
    max_bytes: int = 4096
    """Longest input that a fuzzer makes; the limits of the format itself lie above or at it."""


class BrokenPromiseError(AssertionError):
    """A decoder did what none may do."""


def _same(found: object, again: object) -> None:
    if found != again:
        raise BrokenPromiseError(f"{found!r:.200} came back as {again!r:.200}")


@cache
def _vectors(name: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def _accepted(name: str) -> list[bytes]:
    return [bytes.fromhex(case["hex"]) for case in _vectors(name)["accepted"]]


# -- on the air


def _message(kind: str, data: bytes) -> bool:
    try:
        message = decode(kind, data)
    except WireError as exc:
        if exc.code not in WIRE_CODES:
            raise
        return False
    _same(kind, kind_of(message))
    _same(message, decode(kind, encode(message)))
    return True


def _order(data: bytes) -> bool:
    with suppress(WireError):
        order = decode_order(data)
        _same(order, decode_order(encode_order(order)))
        return True
    return False


def _envelope(data: bytes) -> bool:
    with suppress(WireError):
        signed = decode_signed(data)
        _same(signed, decode_signed(encode(signed)))
        return True
    return False


def _topics(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    with suppress(WireError):
        at = parse_up(text)
        _same(text, up(at.terminal, at.kind, bulk=at.bulk))
        return True
    with suppress(WireError):
        at = parse_down(text)
        _same(text, down(at.terminal, at.kind, bulk=at.bulk))
        return True
    return False


def _ranges(data: bytes) -> bool:
    numbers = [number for (number,) in struct.iter_unpack(">h", data[: len(data) // 2 * 2])]
    pairs = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    with suppress(WireError):
        _same(pairs, RangeSet.from_wire(pairs, stop=2**14).to_wire(len(pairs)))
        return True
    return False


# -- what is believed


def _manifest(data: bytes) -> bool:
    with suppress(TrustError):
        found = manifests.decode(data)
        _same(found, manifests.decode(manifests.encode(found)))
        return True
    return False


def _signed_manifest(data: bytes) -> bool:
    with suppress(TrustError):
        manifests.open_manifest(data, RING)
        return True
    return False


def _package(data: bytes) -> bool:
    """A file as it is: nearly all of them end at the head or at the signature."""
    with suppress(TrustError):
        parts = split_head(data)
        if parts is not None:
            _same(data, head(parts[0]) + parts[1])
    return _taken_in(data)


def _resealed_package(data: bytes) -> bool:
    """The manifest's body and the payload as the fuzzer wants them, under a signature that holds."""
    length = int.from_bytes(data[:2], "big")
    body, payload = data[2 : 2 + length], data[2 + length :]
    with suppress(WireError):
        return _taken_in(head(encode(sign("manifest", body, PRIVATE))) + payload)
    return False


def _taken_in(file: bytes) -> bool:
    async def stream() -> AsyncIterator[bytes]:
        yield file

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            found = anyio.run(partial(ingest, stream(), folder, RING, max_bytes=PAYLOAD_MAX_BYTES))
        except (TrustError, TooLargeError):
            _same([], list(folder.iterdir()))
            return False
        _same(file, head(found.blob) + found.path.read_bytes())
        return True


def _private_key(data: bytes) -> bool:
    with suppress(TrustError):
        key = load_private(data)
        _same(key, load_private(private_text(key).encode()))
        return True
    return False


def _public_key(data: bytes) -> bool:
    with suppress(TrustError):
        key = load_public(data)
        _same(key, load_public(public_text(key).encode()))
        return True
    return False


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
        _same(found, _restored(snapshot.save(found, 0).snapshot))
        return True
    return False


def _json_column(data: bytes) -> bool:
    with suppress(StoreError):
        found = jsontext.load(data.decode("utf-8", "replace"))
        written = jsontext.dump(found)
        _same(written, jsontext.dump(jsontext.load(written)))
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
            _same([row], list(read_fleet(io.StringIO(row.model_dump_json()), "fleet")))
        return True
    return False


# -- bodies and parameters of requests

MODELS: Final[tuple[type[BaseModel], ...]] = (RegisterIn, CampaignIn, ResumeIn, OrderIn, BudgetIn)


@cache
def _echoes() -> FastAPI:
    """An application with our way of refusing and one route per body, which sends back what it was given."""
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False})
    problems.install(app)
    for model in MODELS:

        async def echo(body: BaseModel) -> str:
            return body.model_dump_json(exclude_unset=True)

        echo.__annotations__ = {"body": model, "return": str}
        app.post(f"/{model.__name__}")(echo)
    return app


@cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner()


def _body(model: type[BaseModel], data: bytes) -> bool:
    status, answer = _runner().run(_posted(f"/{model.__name__}", data))
    if status == HTTPStatus.OK:
        text: str = json.loads(answer)
        _same((status, answer), _runner().run(_posted(f"/{model.__name__}", text.encode())))
        return True
    if not 400 <= status < 500 or not {"code", "detail"} <= json.loads(answer).keys():
        raise BrokenPromiseError(f"{status}: {answer!r:.200}")
    return False


async def _posted(path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer, without a server in between."""
    sent: list[Message] = []
    asked = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return next(asked, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await _echoes()(scope, receive, send)
    status = next(message["status"] for message in sent if message["type"] == "http.response.start")
    return status, b"".join(message.get("body", b"") for message in sent)


def _cursor(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    with suppress(RequestError):
        place = cursors.decode("upgrades", text)
        if place:
            _same(place, cursors.decode("upgrades", cursors.encode("upgrades", place)))
        cursors.decode_number("upgrades", text)
        return True
    return False


# -- seeds


def _manifest_bodies() -> list[bytes]:
    return [decode_signed(blob).body for blob in _manifest_blobs()]


def _manifest_blobs() -> list[bytes]:
    return [bytes.fromhex(case["hex"]) for case in _vectors("trust")["manifest"]["accepted"]]


def _package_files() -> list[bytes]:
    return [bytes.fromhex(case["hex"]) for part in ("accepted", "refused") for case in _vectors("package")[part]]


def _parcels() -> list[tuple[bytes, bytes]]:
    parts = [split_head(bytes.fromhex(case["hex"])) for case in _vectors("package")["accepted"]]
    return [(decode_signed(blob).body, payload) for blob, payload in (part for part in parts if part is not None)]


def _resealable() -> list[bytes]:
    return [len(body).to_bytes(2, "big") + body + payload for body, payload in _parcels()]


def _topic_names() -> list[bytes]:
    accepted = _vectors("topics")["accepted"]
    names = [case[key] for case in accepted for key in ("up", "up_bulk", "down", "down_bulk")]
    return [name.encode() for name in [*names, *(case["topic"] for case in _vectors("topics")["refused"])]]


def _range_lists() -> list[bytes]:
    return [struct.pack(f">{len(found)}h", *found) for found in ((0, 4), (0, 3, 5, 9, 100, 16_384), (3, 2), (0, 3, 3, 4))]


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
    hellos = [decode("hello", payload) for payload in _accepted("hello")]
    return [jsontext.dump_facts(getattr(hello, "facts")).encode() for hello in hellos]  # noqa: B009 - every one is a hello


def _bodies(model: type[BaseModel]) -> list[bytes]:
    given: dict[type[BaseModel], list[dict[str, Any]]] = {
        RegisterIn: [{"terminals": [{"id": "till-1", "model": "m", "labels": {"site": "7"}}]}],
        CampaignIn: [
            {"name": "n", "package": "p-1", "terminals": ["till-1"], "canaries": ["till-1"], "ends_at": "2030-01-01T00:00:00Z"},
            {
                "name": "n",
                "package": "p-1",
                "terminals": {"model": "m", "labels": {"site": "7"}},
                "terms": {
                    "soak_s": 60.5,
                    "deadlines_s": {"offered": 1},
                    "install_window": {"start": "02:00", "end": "05:00", "days": ["mon"], "zone": "terminal"},
                },
            },
        ],
        ResumeIn: [{"note": "why", "accept_failures": True}, {}],
        OrderIn: [{"kind": "reboot", "expires_s": 60}],
        BudgetIn: [{"name": "till-1", "bytes_per_s": 1024, "bytes_per_day": None}],
    }
    return [json.dumps(body).encode() for body in given[model]]


def _cursors() -> list[bytes]:
    return [cursors.encode("upgrades", place).encode() for place in ("17", "till-1", "x" * 64)]


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


def _key_files() -> list[bytes]:
    return [private_text(PRIVATE).encode(), public_text(public_of(PRIVATE)).encode()]


def _decoders() -> Iterable[Decoder]:
    for kind in TABLES:
        yield Decoder(kind, partial(_message, kind), partial(_accepted, kind))
    yield Decoder("order body", _order, partial(_accepted, "order_body"))
    yield Decoder("envelope", _envelope, _manifest_blobs)
    yield Decoder("topics", _topics, _topic_names, 200)
    yield Decoder("range set", _ranges, _range_lists, 256)
    yield Decoder("manifest", _manifest, _manifest_bodies)
    yield Decoder("signed manifest", _signed_manifest, _manifest_blobs)
    yield Decoder("package file", _package, _package_files)
    yield Decoder("resealed package", _resealed_package, _resealable)
    yield Decoder("private key", _private_key, _key_files, 600)
    yield Decoder("public key", _public_key, _key_files, 600)
    yield Decoder("snapshot", _snapshot, _snapshots)
    yield Decoder("JSON column", _json_column, _fact_columns)
    yield Decoder("facts column", _facts, _fact_columns)
    yield Decoder("settings", _settings, _settings_files)
    yield Decoder("scenario", _scenario, lambda: _read("device_sim/demo.toml", "device_sim/example.toml"), 8192)
    yield Decoder("profile", _profile, lambda: [path.read_bytes() for path in (ROOT / "device_sim/profiles").glob("*.toml")])
    yield Decoder("fleet file", _fleet, _fleets)
    for model in MODELS:
        yield Decoder(f"body {model.__name__}", partial(_body, model), partial(_bodies, model))
    yield Decoder("cursor", _cursor, _cursors, 300)


DECODERS: Final = {decoder.name: decoder for decoder in _decoders()}
