"""``tillgate doctor``: everything a gateway stands on, looked at, with what to do about it."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.client import Connection
from gateway.cli.failures import DONE, ENDED_BADLY
from gateway.cli.output import AsJson, print_table
from gateway.config import load

if TYPE_CHECKING:
    from gateway.doctor.finding import Finding


def doctor(
    context: typer.Context,
    *,
    broker_conf: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The broker's mosquitto.conf; else the usual one, if the broker is on this machine."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check broker, store, disk, clock, keys and certificates; exit code 1 when something fails. Changes nothing."""
    import anyio

    from gateway.doctor.broker_file import USUAL
    from gateway.doctor.rounds import examine
    from gateway.runtime import link_settings

    connection: Connection = context.obj
    settings = load(connection.settings_file())
    is_local = settings.broker_host in {"127.0.0.1", "::1", "localhost"}
    usual = USUAL if is_local and USUAL.exists() else None
    link = link_settings(settings, f"{settings.broker_client_id[:40]}.d{secrets.token_hex(4)}", [], 0)

    async def run() -> list[Finding]:
        return await examine(settings, link, broker_conf=broker_conf or usual)

    found = anyio.run(run)
    _print(found, as_json=as_json)
    raise typer.Exit(ENDED_BADLY if any(one.status == "fail" for one in found) else DONE)


def _print(found: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False) + "\n")
        return
    print_table(
        ["check", "status", "found", "what to do"], [[one.check, one.status.value, one.found, one.advice] for one in found]
    )
