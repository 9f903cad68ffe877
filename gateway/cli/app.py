"""Puts the commands together, reads the options that stand before them, and ends with the exit code that ``failures`` names."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.api.health_models import AliveOut, StatsOut
from gateway.cli import backup, budget, campaign, doctor, events, ledger, order, package, setup, terminal, upgrade
from gateway.cli.client import Client, Connection
from gateway.cli.failures import DONE, FAILED, INTERRUPTED, CommandError, one_line
from gateway.cli.output import AsJson, print_facts, print_model
from gateway.errors import TillgateError

PROGRAM: Final = "tillgate"

app = typer.Typer(
    name=PROGRAM,
    help="Upgrade fleets of payment terminals, and know how long it takes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("init")(setup.init)
app.command("serve")(setup.serve)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("doctor")(doctor.doctor)
app.add_typer(terminal.app, name="terminal")
app.add_typer(package.app, name="package")
app.add_typer(campaign.app, name="campaign")
app.add_typer(upgrade.app, name="upgrade")
app.add_typer(budget.app, name="budget")
app.add_typer(order.app, name="order")
app.command("events")(events.events)
app.add_typer(ledger.app, name="ledger")


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(envvar="TILLGATE_URL", help="The gateway, e.g. http://127.0.0.1:8080.")] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="TILLGATE_TOKEN", show_envvar=True, help="Its bearer token; better set in the environment."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(envvar="TILLGATE_CONFIG", help="The settings file that `tillgate init` made; else ./tillgate.toml."),
    ] = None,
) -> None:
    """Upgrade fleets of payment terminals, and know how long it takes."""
    context.obj = Connection(url=url, token=token, config=config)


@app.command("status")
def status(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Whether the gateway is ready, and what it has counted."""
    with Client.of(context.obj) as client:
        stats = client.get("/api/v1/stats", StatsOut)
        try:
            client.get("/readyz", AliveOut)
            ready = "yes"
        except CommandError as exc:
            ready = f"no: {exc}"
    if as_json:
        print_model(stats)
    else:
        print_facts({"gateway": client.url, "ready": ready, **stats.counters})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as exc:  # wrong usage
        message = exc.format_message()  # empty when the help was shown instead
        return _failed(f"{message} (`{PROGRAM} --help` shows what there is)") if message else FAILED
    except CommandError as exc:
        return _failed(str(exc))
    except TillgateError as exc:
        return _failed(exc.message)
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except typer.Exit as exc:
        return exc.exit_code
    return code if isinstance(code, int) else DONE


def _failed(text: str) -> int:
    sys.stderr.write(f"{PROGRAM}: {one_line(text)}\n")
    return FAILED
