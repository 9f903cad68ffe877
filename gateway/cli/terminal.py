"""``tillgate terminal``: register, import a list, list, show, and see who is unknown."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Final

import typer
from pydantic import ValidationError

from gateway import invalid
from gateway.api.shapes import EntryOut
from gateway.api.terminal_models import (
    RegisterIn,
    RegisterOut,
    TerminalDetailOut,
    TerminalIn,
    TerminalOut,
    UnknownTerminalOut,
)
from gateway.cli.budget import used
from gateway.cli.client import Client
from gateway.cli.failures import CommandError
from gateway.cli.output import LIMIT, AsJson, Cell, Limit, pairs, print_facts, print_items, print_model, print_table, say, size
from gateway.cli.transfers import print_transfers
from gateway.cli.values import key_values, path_part

#: Terminals in one request; 10,000 are allowed, but their labels must fit into a body too.
BATCH: Final = 2000
#: Of one entry in a table; a report carries at most 64 KiB.
EVIDENCE_CHARS: Final = 1000

app = typer.Typer(help="The fleet: who is registered, and what each terminal says of itself.", no_args_is_help=True)

Labels = Annotated[list[str] | None, typer.Option("--label", help="key=value; may be given several times.")]


@app.command("register")
def register(
    context: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...")],
    *,
    model: Annotated[str, typer.Option(help="Terminal model, as packages name it.")],
    label: Labels = None,
) -> None:
    """Make terminals known; one that is known gets this model and these labels."""
    labels = key_values(label or [], "--label")
    rows = [_row({"id": one, "model": model, "labels": labels}, f"terminal {one}") for one in ids]
    _register(context, rows)


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="CSV with a header (id, model, every other column a label) or JSON lines; - is stdin.")
    ],
) -> None:
    """Register all terminals of a file, in requests of 2,000 each."""
    with _opened(file) as lines:
        _register(context, list(read_fleet(lines, str(file))))


@app.command("list")
def listing(
    context: typer.Context,
    *,
    model: str | None = None,
    online: Annotated[bool | None, typer.Option("--online/--offline")] = None,
    label: Labels = None,
    version: Annotated[list[str] | None, typer.Option(help="component=version, e.g. app=2.0.0.")] = None,
    prefix: Annotated[str | None, typer.Option(help="How the id begins.")] = None,
    text: Annotated[str | None, typer.Option(help="Somewhere in the id, the model or a label.")] = None,
    limit: Limit = LIMIT,
    as_json: AsJson = False,
) -> None:
    """Terminals by id; all conditions given must hold."""
    params = {"model": model, "online": online, "label": label, "version": version, "prefix": prefix, "text": text}
    with Client.of(context.obj) as client:
        found = list(client.pages("/api/v1/terminals", TerminalOut, params, limit=limit))
    if as_json:
        print_items(found, {}, as_json=True, empty="")
        return
    rows: list[list[Cell]] = [
        [
            one.id,
            one.model,
            "online" if one.online else "offline",
            one.seen_at,
            pairs(one.facts.components) if one.facts else None,
            f"{one.facts.battery_pct} %{' charging' if one.facts.charging else ''}" if one.facts else None,
            pairs(one.labels),
        ]
        for one in found
    ]
    print_table(["id", "model", "link", "seen", "versions", "battery", "labels"], rows, empty="no terminals")


@app.command("show")
def show(context: typer.Context, terminal: str, *, as_json: AsJson = False) -> None:
    """One terminal: facts, the upgrade under way, newest history."""
    with Client.of(context.obj) as client:
        detail = client.get(f"/api/v1/terminals/{path_part(terminal)}", TerminalDetailOut)
    if as_json:
        print_model(detail)
        return
    print_facts(_facts(detail))
    print_transfers(detail.transfers, with_upgrade=True)
    print_history(list(reversed(detail.history)))


@app.command("unknown")
def unknown(context: typer.Context, *, limit: Limit = LIMIT, as_json: AsJson = False) -> None:
    """Terminals that spoke to the gateway without being registered."""
    with Client.of(context.obj) as client:
        found = client.pages("/api/v1/unknown-terminals", UnknownTerminalOut, limit=limit)
        columns = {"id": "id", "first seen": "first_seen_at", "last seen": "seen_at", "times": "times_count"}
        print_items(found, columns, as_json=as_json, empty="nobody unknown has spoken")


def _evidence(one: EntryOut) -> str:
    text = pairs(one.evidence)
    return text if len(text) <= EVIDENCE_CHARS else f"{text[:EVIDENCE_CHARS]}... (--json shows all)"


def print_history(entries: Sequence[EntryOut]) -> None:
    """Ledger entries, oldest first."""
    rows: list[list[Cell]] = [
        [
            one.at,
            one.what,
            f"{one.from_state} -> {one.to_state}" if one.from_state != one.to_state else "",
            "" if one.code == "ok" else one.code,
            one.actor,
            _evidence(one),
        ]
        for one in entries
    ]
    print_table(["at", "what", "state", "code", "by", "evidence"], rows, empty="no history")


def _register(context: typer.Context, rows: Sequence[TerminalIn]) -> None:
    if not rows:
        raise CommandError("there is no terminal to register")
    new_count = known_count = 0
    with Client.of(context.obj) as client:
        for start in range(0, len(rows), BATCH):
            done = client.post("/api/v1/terminals", RegisterOut, RegisterIn(terminals=list(rows[start : start + BATCH])))
            new_count += done.registered_count
            known_count += done.updated_count
    say(f"{new_count} registered, {known_count} known before and updated")


def _facts(detail: TerminalDetailOut) -> Mapping[str, Cell]:
    found: dict[str, Cell] = {
        "terminal": detail.id,
        "model": detail.model,
        "labels": pairs(detail.labels),
        "link": "online" if detail.online else "offline",
        "seen": detail.seen_at,
    }
    facts = detail.facts
    if facts is not None:
        found |= {
            "versions": pairs(facts.components),
            "slot": facts.slot,
            "battery": f"{facts.battery_pct} %{' charging' if facts.charging else ''}",
            "free storage": size(facts.storage_free_bytes),
            "radio": f"{facts.rat} {facts.rssi_dbm} dBm {facts.operator}",
            "connections": str(facts.connections),
            "clock": facts.clock_at,
            "business": f"{'in a transaction, ' if facts.in_transaction else ''}{facts.unsettled_count} unsettled",
        }
    found |= {f"data today, {one.scope}": used(one) for one in detail.budgets if one.bytes_per_day or one.scope == "terminal"}
    if detail.open_upgrade is not None:
        found["upgrade"] = f"{detail.open_upgrade.id} {detail.open_upgrade.state}"
    return found


@contextmanager
def _opened(file: Path) -> Iterator[IO[str]]:
    if str(file) == "-":
        yield sys.stdin
        return
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield lines
    except OSError as exc:
        raise CommandError(f"cannot read {file}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise CommandError(f"{file} is not UTF-8 text") from exc


def read_fleet(lines: IO[str], name: str) -> Iterator[TerminalIn]:
    """The terminals of a file, JSON lines when the first line begins like one, else CSV; raises only ``CommandError``."""
    first = lines.readline()
    if first.lstrip().startswith("{"):
        for number, line in enumerate([first, *lines], start=1):
            if line.strip():
                yield _row(_json(line, f"{name} line {number}"), f"{name} line {number}")
        return

    try:
        yield from _table(first, lines, name)
    except csv.Error as exc:
        raise CommandError(f"{name}: not CSV: {exc}") from exc


def _table(first: str, lines: IO[str], name: str) -> Iterator[TerminalIn]:
    header = [column.strip() for column in next(csv.reader([first]), [])]
    if "id" not in header or "model" not in header:
        raise CommandError(f"{name} line 1: expected a header with the columns id and model, or JSON lines")
    for number, fields in enumerate(csv.reader(lines), start=2):
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(header):
            raise CommandError(f"{name} line {number}: {len(fields)} columns, the header has {len(header)}")
        cells = {column: field.strip() for column, field in zip(header, fields, strict=True)}
        labels = {column: field for column, field in cells.items() if column not in {"id", "model"} and field}
        yield _row({"id": cells["id"], "model": cells["model"], "labels": labels}, f"{name} line {number}")


def _json(line: str, where: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise CommandError(f"{where}: not JSON") from exc


def _row(value: object, where: str) -> TerminalIn:
    try:
        return TerminalIn.model_validate(value)
    except ValidationError as exc:
        raise CommandError(f"{where}: {invalid.text(exc)}") from exc
