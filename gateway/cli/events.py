"""``tillgate events``: the ledger, as far as it goes or as it grows."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from gateway.api.shapes import EntryOut
from gateway.cli.client import Client, Params
from gateway.cli.failures import one_line
from gateway.cli.output import LIMIT, AsJson, Limit, moment, pairs


def events(
    context: typer.Context,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens, until interrupted.")] = False,
    campaign: Annotated[str | None, typer.Option(help="Only of this campaign.")] = None,
    terminal: Annotated[str | None, typer.Option(help="Only of this terminal.")] = None,
    after: Annotated[
        int | None,
        typer.Option(
            min=0, help="Begin after the entry of this number; else with the newest, or with what comes next (--follow)."
        ),
    ] = None,
    limit: Limit = LIMIT,
    as_json: AsJson = False,
) -> None:
    """The newest ledger entries, or those after a place, a line for each in their order; as JSON lines with --json."""
    params = {"campaign": campaign, "terminal": terminal}
    with Client.of(context.obj) as client:
        if follow:
            for entry in client.events(params, after=after):
                _print(entry, as_json=as_json)
        else:
            for entry in _entries(client, params, after, limit):
                _print(entry, as_json=as_json)


def _entries(client: Client, params: Params, after: int | None, limit: int) -> Iterable[EntryOut]:
    """The first entries after a place, or without one the last of all; either way in the order of their numbers."""
    if after is not None or not limit:
        return client.pages("/api/v1/entries", EntryOut, {**params, "after": after or 0}, limit=limit)
    return reversed(list(client.pages("/api/v1/entries", EntryOut, {**params, "order": "newest"}, limit=limit)))


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
