"""``tillgate events``: the ledger, as far as it goes or as it grows."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gateway.api.shapes import EntryOut
from gateway.cli.client import Client
from gateway.cli.failures import one_line
from gateway.cli.output import LIMIT, AsJson, Limit, moment, pairs


def events(
    context: typer.Context,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens, until interrupted.")] = False,
    campaign: Annotated[str | None, typer.Option(help="Only of this campaign.")] = None,
    terminal: Annotated[str | None, typer.Option(help="Only of this terminal.")] = None,
    after: Annotated[
        int | None, typer.Option(min=0, help="With --follow: begin after this entry; else with what comes next.")
    ] = None,
    limit: Limit = LIMIT,
    as_json: AsJson = False,
) -> None:
    """Ledger entries, oldest first, a line for each; as JSON lines with --json."""
    params = {"campaign": campaign, "terminal": terminal}
    with Client.of(context.obj) as client:
        if follow:
            for entry in client.events(params, after=after):
                _print(entry, as_json=as_json)
        else:
            for entry in client.pages("/api/v1/entries", EntryOut, params, limit=limit):
                _print(entry, as_json=as_json)


def _print(entry: EntryOut, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(entry.model_dump_json() + "\n")
    else:
        moved = f" {entry.from_state}->{entry.to_state}" if entry.from_state != entry.to_state else ""
        code = "" if entry.code in {"", "ok"} else f" {entry.code}"
        about = f"{entry.upgrade or entry.campaign} {entry.terminal}"
        what = f"{entry.what}{moved}{code} {pairs(entry.evidence)}"
        sys.stdout.write(one_line(f"{entry.seq} {moment(entry.at)} {entry.actor} {about} {what}") + "\n")
    sys.stdout.flush()
