"""A whole gateway to play against: broker, gateway process and simulator process, as an operator starts them.

Everything goes through the front doors: ``python -m gateway init`` and ``serve``, ``python -m device_sim run``, HTTP and the
command line. A ``Stage`` starts nothing by itself but what its methods name, ends what it has started, and waits by looking
until a deadline (``until``), never by sleeping a fixed time. Used by ``tests/e2e``; calls block for as long as they take.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import anyio
import httpx

from tests.harness.broker import Broker, free_port
from tests.harness.process import Process

T = TypeVar("T")

ROOT: Final = Path(__file__).parents[2]
MODEL: Final = "lakala-4g-esign"
OTHER_MODEL: Final = "shengpay-4g-esign"
START_S: Final = 90.0  # long on a machine that does much else
LOOK_EVERY_S: Final = 0.03
_PAGE: Final = 500

#: No shaping at all: the test is about something else than the radio.
UNSHAPED: Final = "link = { bare = true }"
#: Terms under which everything goes at once and nobody waits for long.
QUICK: Final[Mapping[str, object]] = {
    "ask_merchant": False,
    "soak_s": 1,
    "health_every_s": 1,
    "recheck_s": 0.2,
    "retry_scale": 0.005,
    "progress_every_s": 0.1,
    "failure_ratio": 1.0,
}


class Simulator:
    """Terminals of a scenario, in a process of their own. With ``flash`` they outlive it."""

    def __init__(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
        """Start it."""
        self.folder = folder
        self.flash = folder / "flash"
        self._argv = argv
        self._given = environment
        self.process = self._started()

    def start_again(self) -> None:
        """Its successor: the terminals go on from what their flash holds."""
        self.process.kill()
        self.process = self._started()

    def accounts(self, timeout_s: float = 10.0) -> dict[str, dict[str, Any]]:
        """Each terminal's own account of this moment, by terminal id; not in its first moments, when ``status`` is empty."""
        assert self.status, "the simulator does not listen yet: the signal would end it"
        file = self.folder / "terminals.jsonl"
        file.unlink(missing_ok=True)
        self.process.signal(signal.SIGUSR1)
        give_up = time.monotonic() + timeout_s
        while not file.exists():
            assert self.process.running, self.process.output
            assert time.monotonic() < give_up, "the simulator gives no account"
            time.sleep(0.01)
        return _by_id(file)

    def _started(self) -> Process:
        (self.folder / "status.jsonl").unlink(missing_ok=True)
        return Process(self._argv, log=self.folder / "simulator.log", env=self._given, cwd=ROOT)

    @property
    def status(self) -> dict[str, Any]:
        """Its newest counts; empty in its first moments."""
        file = self.folder / "status.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return found

    def finish(self) -> dict[str, dict[str, Any]]:
        """End it; every terminal's own account by terminal id."""
        code = self.process.stop()
        assert code == 0, self.process.output
        return _by_id(self.folder / "terminals.jsonl")


def _by_id(file: Path) -> dict[str, dict[str, Any]]:
    return {state["id"]: state for state in map(json.loads, file.read_text().splitlines())}


class Stage:
    """See the module. A context manager; entering makes the gateway's folder and starts nothing."""

    def __init__(
        self,
        folder: Path,
        broker: Broker,
        *,
        broker_port: int = 0,
        program: str = "gateway",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``broker`` belongs to the caller; it need not run yet, when its port is fixed.

        ``broker_port`` is where the gateway finds it when something lies between them; ``program`` is the module that runs
        instead of the gateway itself, and ``environment`` what it finds there besides.
        """
        self.broker = broker
        self._broker_port = broker_port
        self._program = program
        self._given = environment or {}
        self.folder = folder
        self.home = folder / "gateway"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.gateway: Process | None = None
        self._simulators: list[Simulator] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        port = self.url.rpartition(":")[2]
        broker_port = str(self._broker_port or self.broker.port)
        made = self.run("init", str(self.home), "--broker-port", broker_port, "--http-port", port)
        assert made.returncode == 0, made.stderr
        self.token = (self.home / "token").read_text().strip()
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=20)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.http.close()
        for simulator in self._simulators:
            simulator.process.kill()
        if self.gateway is not None:
            self.gateway.kill() if error else self.gateway.stop()

    # -- the gateway

    def launch_gateway(self) -> Process:
        """Start it, and wait for nothing."""
        self.gateway = self._serve("gateway.log")
        return self.gateway

    def start_gateway(self) -> None:
        """Start it, and wait until it answers; it need not be ready."""
        self.gateway = self.launch_gateway()
        give_up = time.monotonic() + START_S
        while not self._answers():
            assert self.gateway.running, self.log_tail()
            assert time.monotonic() < give_up, self.log_tail()
            time.sleep(LOOK_EVERY_S)

    def start_second_gateway(self) -> Process:
        """Another one with the same settings."""
        return self._serve("second.log")

    def kill_gateway(self) -> None:
        """``kill -9``."""
        assert self.gateway is not None
        self.gateway.kill()

    def log_tail(self, lines: int = 30) -> str:
        """What the gateway said last."""
        file = self.folder / "gateway.log"
        return "\n".join(file.read_text().splitlines()[-lines:]) if file.exists() else ""

    @property
    def not_ready(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        answer = self.http.get("/readyz")
        assert answer.status_code in {200, 503}, answer.text
        reasons: list[str] = [] if answer.status_code == 200 else answer.json()["facts"]["reasons"]
        return reasons

    async def ready(self) -> None:
        """Return once it is."""
        await self.until(lambda: not self.not_ready, "the gateway to be ready")

    # -- the simulator

    def start_simulator(
        self,
        *groups: str,
        speed: float = 200,
        seed: int = 7,
        broker_port: int = 0,
        program: str = "device_sim",
        flash: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Simulator:
        """Run the terminals of ``groups``: the inside of a ``[[group]]`` table each, with ``model`` and ``ids``."""
        folder = self.folder / f"simulator-{len(self._simulators)}"
        folder.mkdir()
        text = f"""
            seed = {seed}
            speed = {speed}
            broker = {{ host = "{self.broker.host}", port = {broker_port or self.broker.port} }}
            login = {{ password = "{self.broker.terminal_password("")}" }}
            keys = {{ orders = ["{self.home}/keys/order.pub"], publishers = ["{self.home}/keys/publisher.pub"] }}
        """
        for group in groups:
            text += f"\n[[group]]\nreconnect_base_s = 0.2\nreconnect_cap_s = 1.0\n{group}\n"
        (folder / "scenario.toml").write_text(text)
        argv = [sys.executable, "-m", program, "run", str(folder / "scenario.toml"), "--quiet"]
        argv += ["--status", str(folder / "status.jsonl"), "--state", str(folder)]
        argv += ["--flash", str(folder / "flash")] if flash else []
        simulator = Simulator(argv, folder, environment)
        self._simulators.append(simulator)
        return simulator

    # -- the doors

    def run(self, *arguments: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """One command line of ``tillgate``, to its end."""
        return subprocess.run(
            self._argv(*arguments),
            env=self._environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *arguments: str, log: str) -> Process:
        """A command line of ``tillgate`` that goes on."""
        return Process(self._argv(*arguments), log=self.folder / log, env=self._environment(), cwd=ROOT)

    def get(self, path: str, **query: str | int | list[str]) -> Any:  # noqa: ANN401 - JSON
        """The answer to GET, which must be 200."""
        answer = self.http.get(f"/api/v1{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pages(self, path: str, **query: str | int | list[str]) -> list[dict[str, Any]]:
        """All items of a list, page after page."""
        items: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.get(path, limit=_PAGE, **query, **cursor)
            items += page["items"]
            if page["next"] is None:
                return items
            cursor = {"cursor": page["next"]}

    def post(self, path: str, body: Mapping[str, object] | None = None, *, expected: int | None = None) -> Any:  # noqa: ANN401 - JSON
        """The answer to POST, which must be a success or ``expected``."""
        answer = self.http.post(f"/api/v1{path}", json=body)
        assert answer.is_success if expected is None else answer.status_code == expected, answer.text
        return answer.json()

    def upload(self, package: Path) -> httpx.Response:
        """Upload a package file."""
        return self.http.post(
            "/api/v1/packages", content=package.read_bytes(), headers={"Content-Type": "application/octet-stream"}
        )

    def register(self, terminals: Iterable[str], model: str = MODEL) -> None:
        """Make terminals known."""
        self.post("/terminals", {"terminals": [{"id": terminal, "model": model} for terminal in terminals]})

    def campaign(self, package: str, terminals: Sequence[str], *, canaries: Sequence[str] = (), **terms: object) -> str:
        """Draw up a campaign under ``QUICK`` terms, changed by ``terms``, and start it; its id."""
        given = {**QUICK, **terms}
        body = {"name": "spring", "package": package, "terminals": list(terminals), "terms": given, "canaries": list(canaries)}
        campaign = str(self.post("/campaigns", body)["id"])
        self.post(f"/campaigns/{campaign}/start")
        return campaign

    def states(self, campaign: str) -> dict[str, str]:
        """The state of each terminal's upgrade."""
        return {row["terminal"]: row["state"] for row in self.pages(f"/campaigns/{campaign}/upgrades")}

    def upgrade_of(self, campaign: str, terminal: str) -> dict[str, Any]:
        """One terminal's upgrade, with its history."""
        [row] = [row for row in self.pages(f"/campaigns/{campaign}/upgrades") if row["terminal"] == terminal]
        found: dict[str, Any] = self.get(f"/upgrades/{row['id']}")
        return found

    @property
    def counters(self) -> dict[str, int]:
        """What the gateway has counted."""
        counters: dict[str, int] = self.get("/stats")["counters"]
        return counters

    # -- waiting

    async def until(self, look: Callable[[], T], what: str, timeout_s: float = 20) -> T:
        """Look again and again; the first answer that is not empty. ``AssertionError`` when there is none in time."""
        with anyio.move_on_after(timeout_s):
            while True:
                found = look()
                if found:
                    return found
                await anyio.sleep(LOOK_EVERY_S)
        raise AssertionError(f"waited {timeout_s} s for {what}; last seen: {look()!r}")

    async def until_states(self, campaign: str, expected: Mapping[str, str], timeout_s: float = 30) -> None:
        """Until the campaign's upgrades are in these states."""
        give_up = time.monotonic() + timeout_s
        while (found := self.states(campaign)) != expected:
            assert time.monotonic() < give_up, f"waited {timeout_s} s for {expected}, found {found}"
            await anyio.sleep(LOOK_EVERY_S)

    # -- inside

    def _serve(self, log: str) -> Process:
        return self.start("serve", log=log)

    def _argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", self._program, *arguments]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self._given,
            "TILLGATE_CONFIG": str(self.home / "tillgate.toml"),
            "TILLGATE_BROKER_USERNAME": self.broker.gateway_user,
            "TILLGATE_BROKER_PASSWORD": self.broker.gateway_password,
        }

    def _answers(self) -> bool:
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.HTTPError:
            return False
