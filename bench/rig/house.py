"""A whole Tillgate for a benchmark: broker, gateway and simulated terminals, each its own process started by its real command.

The broker runs under the shipped configuration. ``House`` is a context manager; it ends what it started and nothing else.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Self

import httpx

from bench.rig.meter import cpu_s, rss_bytes
from gateway.packages.build import build
from gateway.trust.keys import new_private_key, private_text, public_of, public_text
from gateway.wire.codes import Component
from tests.harness.broker import Broker, free_port
from tests.harness.process import Process

MODEL: Final = "lakala-4g-esign"
START_S: Final = 60.0
_START_PER_S: Final = 50
_POLL_S: Final = 0.1
_REGISTER_AT_ONCE: Final = 500


class BenchError(RuntimeError):
    """The product did not do what was to be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The gateway at one moment. ``counters`` are those of ``GET /api/v1/stats``."""

    at: float
    cpu_s: float
    rss_bytes: int
    counters: Mapping[str, int]

    def count(self, name: str) -> int:
        """One counter; those that were never raised are missing in the statistics."""
        return self.counters.get(name, 0)


class House:
    """See the module. ``terminals`` are known to the broker and registered, and not yet running."""

    def __init__(
        self, folder: Path, terminals: Sequence[str], *, seed: int, settings: Mapping[str, str | int] | None = None
    ) -> None:
        """Nothing runs before ``with``. ``settings`` of the gateway beside those that every benchmark needs."""
        self._settings = settings or {}
        self.folder = folder
        self.terminals = list(terminals)
        self.broker = Broker(folder / "broker")
        self._seed = seed
        self._publisher_key = new_private_key()
        self._stack = ExitStack()
        self._releases = 0
        self._http = httpx.Client()
        self._gateway: Process | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.broker)
            self.broker.add_terminals(self.terminals)
            self._start_gateway(stack)
            for at in range(0, len(self.terminals), _REGISTER_AT_ONCE):
                page = self.terminals[at : at + _REGISTER_AT_ONCE]
                self.post("/api/v1/terminals", {"terminals": [{"id": name, "model": MODEL} for name in page]})
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    @property
    def gateway_pid(self) -> int:
        """The gateway's process id."""
        if self._gateway is None:
            raise BenchError("the gateway is not started")
        return self._gateway.pid

    def start_terminals(self, *, speed: float, reconnect_base_s: float = 0.2, status: Path | None = None) -> None:
        """Power all of them on, on links that nothing slows, and wait until the gateway has heard and loaded each.

        The simulator's counts go to ``status``, a line each second.
        """
        scenario = self.folder / "scenario.toml"
        scenario.write_text(
            f'seed = {self._seed}\nspeed = {speed}\n[broker]\nhost = "{self.broker.host}"\nport = {self.broker.port}\n'
            f'[login]\npassword = "{self.broker.terminal_password("")}"\n'
            f"[[group]]\nids = {json.dumps(self.terminals)}\nmodel = {json.dumps(MODEL)}\n"
            f"reconnect_base_s = {reconnect_base_s}\nkeep_payload = false\n"
            "[group.link]\nbare = true\n"
        )
        argv = [sys.executable, "-m", "device_sim", "run", str(scenario), "--quiet"]
        argv += [] if status is None else ["--status", str(status)]
        simulator = self._stack.enter_context(Process(argv, log=self.folder / "simulator.log"))
        count = len(self.terminals)
        self.wait(
            lambda sample: sample.count("sessions") >= count and sample.count("in:hello") >= count,
            what="all terminals",
            timeout_s=max(START_S, count / _START_PER_S),
        )
        if not simulator.running:
            raise BenchError(f"the simulator ended:\n{simulator.output}")

    def add_package(self, size_bytes: int) -> str:
        """Build, sign and upload the next release; returns its id."""
        self._releases += 1
        source, package = self.folder / "payload.bin", self.folder / "payload.tgp"
        source.write_bytes(Random(self._seed + self._releases).randbytes(size_bytes))
        build(
            source,
            package,
            private=self._publisher_key,
            component=Component.APP,
            version=f"{1 + self._releases}.0.0",
            counter=1 + self._releases,
            models=(MODEL,),
            battery_min_pct=1,
            storage_min_bytes=size_bytes,
        )
        answer = self._http.post(
            "/api/v1/packages", content=package.read_bytes(), headers={"Content-Type": "application/octet-stream"}
        )
        return str(_checked(answer)["id"])

    def start_campaign(self, package: str, terminals: Sequence[str], terms: Mapping[str, Any]) -> str:
        """Create and start; returns its id."""
        body = {"name": "bench", "package": package, "terminals": list(terminals), "terms": dict(terms)}
        campaign = str(self.post("/api/v1/campaigns", body)["id"])
        self.post(f"/api/v1/campaigns/{campaign}/start")
        return campaign

    def campaign(self, campaign: str) -> dict[str, Any]:
        """The campaign as the API shows it."""
        return _checked(self._http.get(f"/api/v1/campaigns/{campaign}"))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request to the gateway; ``BenchError`` unless it succeeds."""
        return _checked(self._http.post(path, json=body))

    def sample(self) -> Sample:
        """Read the gateway's meters. The request itself costs it about a millisecond."""
        try:
            counters = _checked(self._http.get("/api/v1/stats"))["counters"]
        except httpx.TransportError as exc:
            said = self._gateway.output[-4000:] if self._gateway is not None else ""
            raise BenchError(f"the gateway does not answer ({exc}); it said:\n{said}") from exc
        return Sample(at=time.time(), cpu_s=cpu_s(self.gateway_pid), rss_bytes=rss_bytes(self.gateway_pid), counters=counters)

    def wait(self, done: Callable[[Sample], bool], *, what: str, timeout_s: float = START_S) -> Sample:
        """Sample until ``done``; the last sample."""
        give_up = time.monotonic() + timeout_s
        while not done(sample := self.sample()):
            if time.monotonic() > give_up:
                raise BenchError(f"waited {timeout_s:g} s for {what}: {dict(sample.counters)}")
            time.sleep(_POLL_S)
        return sample

    def query(self, sql: str, *parameters: str) -> list[tuple[Any, ...]]:
        """Ask the gateway's store, read-only and beside it."""
        with sqlite3.connect(f"file:{self.folder / 'tillgate.db'}?mode=ro", uri=True) as store:
            return store.execute(sql, parameters).fetchall()

    def _start_gateway(self, stack: ExitStack) -> None:
        port, token = free_port(), secrets.token_hex(16)
        settings = self._write_settings(port, token)
        argv = [sys.executable, "-m", "gateway", "--config", str(settings), "serve"]
        self._gateway = stack.enter_context(Process(argv, log=self.folder / "gateway.log"))
        self._http = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}, timeout=60)
        )
        give_up = time.monotonic() + START_S
        while not self._ready():
            if time.monotonic() > give_up or not self._gateway.running:
                raise BenchError(f"the gateway did not become ready:\n{self._gateway.output}")
            time.sleep(_POLL_S)

    def _ready(self) -> bool:
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def _write_settings(self, port: int, token: str) -> Path:
        keys = self.folder / "keys"
        keys.mkdir()
        order_key = new_private_key()
        for name, text in (
            ("order.key", private_text(order_key)),
            ("order.pub", public_text(public_of(order_key))),
            ("publisher.pub", public_text(public_of(self._publisher_key))),
        ):
            (keys / name).write_text(text)
            (keys / name).chmod(0o600)
        settings = self.folder / "tillgate.toml"
        settings.write_text(
            f'store_path = "tillgate.db"\npackages_path = "packages"\n'
            f'broker_host = "{self.broker.host}"\nbroker_port = {self.broker.port}\n'
            f'broker_username = "{self.broker.gateway_user}"\nbroker_password = "{self.broker.gateway_password}"\n'
            f'http_port = {port}\ntoken = "{token}"\n'
            f'order_key_file = "keys/order.key"\npublisher_key_files = ["keys/publisher.pub"]\nlog_level = "warning"\n'
            + "".join(f"{key} = {json.dumps(value)}\n" for key, value in self._settings.items())
        )
        return settings


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise BenchError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:400]}")
    found: dict[str, Any] = answer.json()
    return found
