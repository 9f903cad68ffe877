"""All that chaos strikes: a broker, a gateway with its store on a disk of its own, terminals, and a relay on both lines.

Every process is ours, started here and ended by its own id. ``House`` is a context manager. What ended without being told to is
kept in ``fell`` and started again: the run goes on, and the verdict is known.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from gateway.trust.keys import KeyRing, load_public
from scripts._chaos.crash import ARM
from scripts._chaos.disk import Disk
from scripts._chaos.fleet import groups_of
from scripts._chaos.table import Target
from tests.harness.broker import Broker, free_port
from tests.harness.process import Process
from tests.harness.relay import Line, Relay
from tests.harness.stage import OTHER_MODEL, Simulator, Stage

SPEED: Final = 200.0
HTTP_S: Final = 2.0
SAMPLE_EVERY_S: Final = 2.0
#: How long a gateway may take to end that cannot write its store (seconds).
_ENDING_S: Final = 3.0
#: Exit code of a gateway that says why it cannot start.
_REFUSED: Final = 2


class House:
    """See the module."""

    def __init__(self, folder: Path, *, seed: int, terminals: int) -> None:
        """``folder`` is its own; nothing runs before ``with``."""
        self.folder = folder
        self._seed = seed
        self._count = terminals
        self._stack = ExitStack()
        self.broker = Broker(folder / "broker", port=free_port())
        self.lines: dict[Target, Relay] = {}
        self.frozen: set[Target] = set()
        self.fell: list[str] = []
        """Processes that ended although nobody had told them to, with their last words."""
        self._unusable, self._unusable_until = "", 0.0
        self.refusals = 0
        """Starts of a gateway that said so and ended."""
        self.deaths: Counter[Target] = Counter()
        self.again_bytes: Counter[str] = Counter()
        """By terminal: bytes of verified segments that came again, in all lives of the simulator that are over."""
        self._again_now: dict[str, int] = {}
        self._sampled_at = 0.0
        self.power_cuts = 0
        self._cuts_now = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.broker)
            for target in (Target.GATEWAY_LINE, Target.TERMINALS_LINE):
                self.lines[target] = stack.enter_context(Relay(self.broker.port))
            self.stage = Stage(
                self.folder / "stage",
                self.broker,
                broker_port=self.lines[Target.GATEWAY_LINE].port,
                program="scripts._chaos.gateway",
                environment={ARM: str(self.point(Target.GATEWAY))},
            )
            stack.enter_context(self.stage)
            self.store = self.stage.home / "var" / "tillgate.db"
            self.disk = stack.enter_context(Disk(self.store.parent, self.store))
            stack.callback(self._end)
            self._found()
            self.http = stack.enter_context(
                httpx.Client(base_url=self.stage.url, headers=self.stage.http.headers, timeout=HTTP_S)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    # -- what is struck

    processes: Final = frozenset({Target.GATEWAY, Target.BROKER, Target.TERMINALS})

    def point(self, target: Target) -> Path:
        """Where a point of a program is armed."""
        return self.folder / f"{target.name.lower()}.point"

    def process(self, target: Target) -> Process:
        """The gateway's or the simulator's process; it may have ended."""
        if target is Target.TERMINALS:
            return self.simulator.process
        if self.stage.gateway is None:
            raise AssertionError(target)
        return self.stage.gateway

    def running(self, target: Target) -> bool:
        """Whether it runs; a frozen process does."""
        return self.broker.running if target is Target.BROKER else self.process(target).running

    def kill(self, target: Target) -> None:
        """``kill -9``."""
        if target is Target.BROKER:
            self.broker.kill()
        else:
            if target is Target.TERMINALS:
                self.sample()
            self.process(target).kill()
        self.deaths[target] += 1

    def stop(self, target: Target) -> None:
        """In order."""
        self.broker.stop() if target is Target.BROKER else self.process(target).stop()
        self.deaths[target] += 1

    def start(self, target: Target) -> None:
        """Start it again; only the broker is waited for."""
        if target is Target.BROKER:
            self.broker.start()
        elif target is Target.GATEWAY:
            self.stage.launch_gateway()
        else:
            self._bury()
            self.simulator.start_again()

    def freeze(self, target: Target, *, on: bool) -> None:
        """SIGSTOP or SIGCONT."""
        number = signal.SIGSTOP if on else signal.SIGCONT
        self.broker.signal(number) if target is Target.BROKER else self.process(target).signal(number)
        (self.frozen.add if on else self.frozen.discard)(target)

    def store_unusable(self, word: str) -> None:
        """The store cannot be written from now on; a gateway that starts may say so, with ``word``, and end."""
        self._unusable, self._unusable_until = word, float("inf")

    def store_usable(self) -> None:
        """It can be again; a gateway that has seen it otherwise may still be ending."""
        self._unusable_until = time.monotonic() + _ENDING_S

    def mend(self, target: Target) -> None:
        """Start what has ended by itself, as a service manager does, and remember that it did."""
        if self.running(target):
            return
        if target is Target.GATEWAY and self._refused(self.process(target)):
            self.refusals += 1
            self.start(target)
            return
        output = self.broker.log_tail() if target is Target.BROKER else self.process(target).output
        self.fell.append(f"{target} ended by itself: {' | '.join(output.strip().splitlines()[-3:])}")
        self.start(target)

    # -- what is looked at

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read the store beside the gateway. ``sqlite3.Error`` while it cannot be read."""
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=1.0)) as store:
            return store.execute(sql, parameters).fetchall()

    @property
    def answering(self) -> bool:
        """Whether it makes sense to ask the gateway anything by HTTP."""
        return self.running(Target.GATEWAY) and Target.GATEWAY not in self.frozen

    @property
    def listening(self) -> bool:
        """Whether the simulator can be asked for accounts."""
        return self.simulator.process.running and Target.TERMINALS not in self.frozen and bool(self.simulator.status)

    def sample(self, now: float = float("inf")) -> dict[str, dict[str, Any]]:
        """The terminals' accounts of this moment, kept for the time when this simulator is dead; at most one per while."""
        if now - self._sampled_at < SAMPLE_EVERY_S or not self.listening:
            return {}
        self._sampled_at = now if now != float("inf") else self._sampled_at
        try:
            accounts = self.simulator.accounts()
        except AssertionError:  # it has just died at a point
            return {}
        self._again_now = {name: int(account["repeated_bytes"]) for name, account in accounts.items()}
        self._cuts_now = sum(int(account["power_cuts"]) for account in accounts.values())
        return accounts

    # -- inside

    def _found(self) -> None:
        self.names = self.broker.new_terminals(self._count)
        self.stage.start_gateway()
        others = self.names[::5]
        self.stage.register([name for name in self.names if name not in others])
        self.stage.register(others, OTHER_MODEL)
        self.simulator: Simulator = self.stage.start_simulator(
            *groups_of(self.names, others, self._seed),
            speed=SPEED,
            seed=self._seed,
            broker_port=self.lines[Target.TERMINALS_LINE].port,
            program="scripts._chaos.simulator",
            flash=True,
            environment={ARM: str(self.point(Target.TERMINALS))},
        )

    def _refused(self, gateway: Process) -> bool:
        """Whether it was starting while the store could not be written: one that was up by then waits instead."""
        said = gateway.output
        if time.monotonic() > self._unusable_until or '"started"' in said:
            return False
        return self._unusable in said and gateway.wait(1.0) == _REFUSED

    def _bury(self) -> None:
        """What the dead simulator had counted."""
        self.again_bytes.update(self._again_now)
        self.power_cuts += self._cuts_now
        self._again_now, self._cuts_now = {}, 0

    def final(self) -> dict[str, dict[str, Any]]:
        """The last accounts; the counts of all lives are complete after it."""
        accounts = self.sample()
        self._bury()
        return accounts

    def close(self) -> None:
        """End the gateway in order: the store is whoever's now who looks at it."""
        code = self.process(Target.GATEWAY).stop()
        if code != 0:
            self.fell.append(f"told to stop, the gateway ended with {code}: {self.stage.log_tail(3)}")

    @property
    def ring(self) -> KeyRing:
        """The key that seals the ledger."""
        return KeyRing([load_public((self.stage.home / "keys" / "order.pub").read_bytes())])

    def _end(self) -> None:
        """Nothing stays frozen or cut, and nobody has the store open when its disk goes."""
        for target in tuple(self.frozen):
            self.freeze(target, on=False)
        for line in self.lines.values():
            line.set(Line.OPEN)
        if self.stage.gateway is not None:
            self.stage.gateway.stop()
