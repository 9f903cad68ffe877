"""The command ``tillgate-sim``: runs the terminals of a scenario, lists them for gateway and broker, tells their lives."""

from __future__ import annotations

import csv
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from device_sim.history import as_plain, read_lives
from device_sim.run import Settings, run_scenario
from device_sim.scenario import Scenario, load_scenario
from gateway.errors import TillgateError

app = typer.Typer(
    help="Simulated payment terminals with real MQTT sessions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ScenarioFile = Annotated[Path, typer.Argument(help="Scenario, a TOML file; device_sim/example.toml shows every key.")]


class Format(StrEnum):
    """How ``list`` prints."""

    JSON = "json"
    CSV = "csv"


@app.command()
def run(
    scenario: ScenarioFile,
    broker: Annotated[str, typer.Option(help="HOST:PORT instead of the scenario's.")] = "",
    seed: Annotated[int | None, typer.Option(help="Instead of the scenario's.")] = None,
    duration: Annotated[float, typer.Option(help="Seconds to run; 0: until SIGINT or SIGTERM.", min=0)] = 0.0,
    status: Annotated[Path | None, typer.Option(help="Append counts to this file once a second, as JSON lines.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder for each terminal's own account, at the end and on SIGUSR1.")
    ] = None,
    flash: Annotated[
        Path | None,
        typer.Option(help="Folder in which each terminal's flash outlives this process; what was killed goes on from there."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress line.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Run all terminals of SCENARIO until the time is over or the process is told to end."""
    found = _load(scenario)
    settings = Settings(broker=broker, seed=seed, duration_s=duration, status=status, state=state, flash=flash, quiet=quiet)
    try:
        run_scenario(found, settings)
    except TillgateError as exc:
        _fail(exc.message)
    except OSError as exc:
        _fail(f"{exc.filename or ''}: {exc.strerror}")


@app.command("list")
def list_terminals(
    scenario: ScenarioFile,
    form: Annotated[Format, typer.Option("--format", help="json: one object a line; csv: id, model, labels.")] = Format.JSON,
) -> None:
    """Print the terminals of SCENARIO, to be registered at the gateway."""
    found = _load(scenario)
    if form is Format.JSON:
        for entry in found.entries:
            typer.echo(json.dumps({"id": entry.id, "model": entry.profile.model, "labels": dict(entry.labels)}))
        return

    names = sorted({name for entry in found.entries for name in entry.labels})
    out = csv.writer(sys.stdout)
    out.writerow(["id", "model", *names])
    for entry in found.entries:
        out.writerow([entry.id, entry.profile.model, *(entry.labels.get(name, "") for name in names)])


@app.command()
def dump(
    flash: Annotated[Path, typer.Argument(metavar="FOLDER", help="As given to `run --flash`.", exists=True, file_okay=False)],
) -> None:
    """Print each terminal's life as its flash holds it, one JSON object a line: reports, receipts, installations, orders.

    Works at any time, also after the simulator was killed.
    """
    for terminal, life in read_lives(flash).items():
        typer.echo(json.dumps(as_plain(terminal, life)))


@app.command()
def passwords(scenario: ScenarioFile) -> None:
    """Print `user:password` lines for the broker's password file (hash them with `mosquitto_passwd -U FILE`)."""
    found = _load(scenario)
    try:
        for user, password in found.logins():
            typer.echo(f"{user}:{password}")
    except TillgateError as exc:
        _fail(exc.message)


def main() -> None:
    """The entry point."""
    app()


def _load(path: Path) -> Scenario:
    try:
        return load_scenario(path)
    except TillgateError as exc:
        _fail(exc.message)


def _fail(text: str) -> NoReturn:
    """One line, and exit code 2."""
    typer.echo(f"tillgate-sim: {' '.join(text.split())}", err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    main()
