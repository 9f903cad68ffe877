"""All that the demo starts: broker, gateway, terminals, in one folder; and the ``tillgate`` commands that it types.

Every process is ours and ended by its own id. ``House`` is a context manager: whatever happens, nothing of it stays running.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gateway.api.health_models import AliveOut
from gateway.cli.client import Client
from gateway.cli.failures import CommandError
from scripts._demo.evidence import Own, read_own
from tests.harness.broker import Broker, free_port
from tests.harness.process import Process

SCENARIO: Final = Path(__file__).parents[2] / "device_sim" / "demo.toml"
COMMAND_S: Final = 60.0
START_S: Final = 30.0
_POLL_S: Final = 0.1


class DemoError(RuntimeError):
    """The demo cannot go on; its text says why in a line or two."""


class House:
    """Broker, gateway and terminals. ``folder`` is theirs alone."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder = folder
        self.settings = folder / "tillgate.toml"
        self._seed = seed
        self._logs = folder / "logs"
        self._stack = ExitStack()
        self._gateway: Process | None = None
        self._swarm: Process | None = None
        self.broker = Broker(folder / "broker")
        self.http_port = free_port()

    def __enter__(self) -> Self:
        self._logs.mkdir()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever presses Ctrl-C twice must not leave half of it running
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._stack.close()

    # -- commands

    def tillgate(self, *arguments: str) -> str:
        """Type a command; what it answers. ``DemoError`` with its own words when it fails."""
        return self._type("tillgate", "--config", str(self.settings), *arguments)

    def watch(self, campaign: str) -> subprocess.Popen[bytes]:
        """``tillgate campaign watch`` on the person's own screen."""
        child = subprocess.Popen(["tillgate", "--config", str(self.settings), "campaign", "watch", campaign, "--every", "0.5"])
        self._stack.callback(_end, child)
        return child

    def client(self) -> Client:
        """The API, for what is to be compared."""
        return Client(self.url, self.token)

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def token(self) -> str:
        """What the API wants to see."""
        return (self.folder / "token").read_text().strip()

    # -- the house, from the ground up

    def found(self) -> list[str]:
        """The broker, the gateway's settings, the fleet's logins; the ids of the fleet."""
        self.broker.start()
        self._stack.callback(self.broker.stop)
        ports = ("--broker-port", str(self.broker.port), "--http-port", str(self.http_port))
        self._type("tillgate", "init", str(self.folder), *ports)
        secret = self.folder / "broker-password"
        _write_secret(secret, self.broker.gateway_password)
        with self.settings.open("a") as settings:
            settings.write(f'broker_username = "{self.broker.gateway_user}"\nbroker_password_file = "{secret.name}"\n')

        self.scenario.write_bytes(SCENARIO.read_bytes())
        fleet = self._type("tillgate-sim", "list", str(self.scenario), "--format", "csv")
        (self.folder / "fleet.csv").write_text(fleet)
        ids = [line.partition(",")[0] for line in fleet.splitlines()[1:]]
        self.broker.add_terminals(ids)
        lines = [f"{one}:{self.broker.terminal_password(one)}\n" for one in ids]
        _write_secret(self.folder / "terminal-passwords", "".join(lines))
        return ids

    @property
    def scenario(self) -> Path:
        """The copy of the scenario that runs, beside keys and passwords."""
        return self.folder / "fleet.toml"

    def start_gateway(self) -> int:
        """``tillgate serve``, ready; its process id."""
        argv = ("tillgate", "--config", str(self.settings), "serve")
        self._gateway = gateway = Process(argv, log=self._logs / "gateway.log")
        self._stack.callback(gateway.stop)
        with self.client() as client:
            self._await("the gateway is not ready", lambda: self._ready(client))
        return gateway.pid

    def check_gateway(self) -> None:
        """``DemoError`` with its last words when it has ended by itself."""
        if self._gateway is not None and not self._gateway.running:
            last = self._gateway.output.strip().splitlines()[-1:]
            raise DemoError(f"the gateway has ended by itself: {' '.join(last)}")

    def kill_gateway(self) -> int:
        """``kill -9``; the id of the process that is no more."""
        if self._gateway is None:
            raise DemoError("there is no gateway to kill")
        self._gateway.kill()
        return self._gateway.pid

    def start_terminals(self) -> None:
        """Power on the fleet."""
        where = f"{self.broker.host}:{self.broker.port}"
        argv = ("tillgate-sim", "run", str(self.scenario), "--broker", where, "--seed", str(self._seed), "--quiet")
        self._swarm = Process((*argv, "--state", str(self._states.parent)), log=self._logs / "terminals.log")
        self._stack.callback(self._swarm.stop)

    def accounts(self) -> dict[str, Own]:
        """Each terminal's own account of this moment."""
        swarm = self._swarm
        if swarm is None or not swarm.running:
            raise DemoError(f"the terminals are gone: {self._logs / 'terminals.log'}")
        self._states.unlink(missing_ok=True)
        swarm.signal(signal.SIGUSR1)
        self._await("the terminals do not give their account", self._states.exists)
        return read_own(self._states)

    # -- inside

    @property
    def _states(self) -> Path:
        return self.folder / "state" / "terminals.jsonl"

    def _ready(self, client: Client) -> bool:
        self.check_gateway()
        with contextlib.suppress(CommandError):
            client.get("/readyz", AliveOut)
            return True
        return False

    def _type(self, *argv: str) -> str:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_S, check=False)
        except subprocess.TimeoutExpired as exc:
            raise DemoError(f"`{' '.join(argv[:4])}` did not end within {COMMAND_S:.0f} s") from exc
        if done.returncode != 0:
            raise DemoError(f"`{' '.join(argv)}` failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def _await(self, trouble: str, question: Callable[[], bool]) -> None:
        give_up = time.monotonic() + START_S
        while not question():
            if time.monotonic() > give_up:
                raise DemoError(f"{trouble} after {START_S:.0f} s")
            time.sleep(_POLL_S)


def polls(timeout_s: float, every_s: float) -> Iterator[None]:
    """Steps of a wait, until the time is over."""
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        yield
        time.sleep(every_s)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.kill()
        child.wait()


def _write_secret(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
