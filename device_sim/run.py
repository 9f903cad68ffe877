"""Running a scenario: event loop, signals, progress line, status file, and the terminals' own accounts at the end.

``__main__`` calls ``run_scenario``. It ends in order on SIGINT, SIGTERM or after the given time; what the terminals are then
is written last, so that a check can compare it with the gateway's ledger. SIGUSR1 has it written at any time.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import anyio
from rich.console import Console

from device_sim.scenario import Scenario
from device_sim.swarm import Swarm
from gateway.errors import ConfigError

STATUS_EVERY_S: Final = 1.0
STATE_FILE: Final = "terminals.jsonl"
_PORT_MAX: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line adds to a scenario."""

    broker: str = ""
    seed: int | None = None
    duration_s: float = 0.0
    status: Path | None = None
    state: Path | None = None
    flash: Path | None = None
    quiet: bool = False


def run_scenario(scenario: Scenario, settings: Settings) -> None:
    """Run until the end.

    Raises:
        ConfigError: keys, passwords or certificates cannot be read, or the broker's address is none.
        OSError: a file cannot be written.
    """
    scenario = _overridden(scenario, settings)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(scenario, settings))


async def _run(scenario: Scenario, settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    unix_base_ms = int((time.time() - loop.time()) * 1000)
    address = scenario.broker.address([entry.id for entry in scenario.entries])
    swarm = Swarm(scenario.plans(unix_base_ms), address, settings.flash)
    for folder in (settings.state, settings.flash):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    if settings.status is not None:
        settings.status.touch()  # a file that cannot be written is said now, not out of the middle

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGUSR1) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(swarm.run, name="swarm")
            tasks.start_soon(_show, swarm, settings, name="status")
            with anyio.move_on_after(settings.duration_s or None):
                async for number in signals:
                    if number is not signal.SIGUSR1:
                        break
                    _write_states(swarm, settings.state)
            tasks.cancel_scope.cancel()

    if settings.status is not None:
        _append_status(swarm, settings.status)
    _write_states(swarm, settings.state)


def _write_states(swarm: Swarm, folder: Path | None) -> None:
    """The accounts as they are now; the file is replaced whole, since somebody may be waiting for it."""
    if folder is None:
        return
    fresh = folder / f".{STATE_FILE}.new"
    fresh.write_text("".join(json.dumps(state) + "\n" for state in swarm.states()))
    fresh.replace(folder / STATE_FILE)


async def _show(swarm: Swarm, settings: Settings) -> None:
    """The progress line and the status file."""
    console = Console(stderr=True)
    shown = console.is_terminal and not settings.quiet
    with console.status("starting") if shown else nullcontext() as line:
        while True:
            if settings.status is not None:
                _append_status(swarm, settings.status)
            if line is not None:
                line.update(_progress(swarm))
            await anyio.sleep(STATUS_EVERY_S)


def _append_status(swarm: Swarm, path: Path) -> None:
    with path.open("a") as file:
        file.write(json.dumps({"at": time.time(), **swarm.status()}) + "\n")


def _progress(swarm: Swarm) -> str:
    status = swarm.status()
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(status["phases"].items()))
    online = f"{status['online']}/{status['terminals']} online, {status['transferring']} transferring"
    return f"{online}, {status['received_bytes'] / 1e6:.1f} MB; {phases}"


def _overridden(scenario: Scenario, settings: Settings) -> Scenario:
    if settings.seed is not None:
        scenario = replace(scenario, seed=settings.seed)
    if not settings.broker:
        return scenario

    host, _, port = settings.broker.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= _PORT_MAX:
        raise ConfigError(f"--broker: expected HOST:PORT, found {settings.broker!r}", code="scenario_invalid")
    return replace(scenario, broker=replace(scenario.broker, host=host.strip("[]"), port=int(port)))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Uvloop where it installs: half the CPU of a chunk."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
