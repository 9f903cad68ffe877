"""What people see: tables, durations, sizes, states in colour; or the same as JSON for programs.

Standard output carries the answer and nothing else. Text from the gateway is shown as it is, never as Rich mark-up.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.failures import one_line

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="Most items shown; 0 shows all.")]
LIMIT: Final = 100
WIDTH_PIPED: Final = 200  # columns of a table that goes into a file or a pipe

_STYLES: Final[Mapping[str, str]] = {
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
    "succeeded": "green",
    "finished": "green",
    "done": "green",
    "running": "cyan",
    "soaking": "cyan",
    "verifying": "cyan",
    "transferring": "cyan",
    "installing": "cyan",
    "failed": "red",
    "refused": "red",
    "aborted": "red",
    "rolled_back": "red",
    "rolling_back": "red",
    "rejected": "yellow",
    "expired": "yellow",
    "cancelled": "yellow",
    "paused": "yellow",
    "deferred": "yellow",
}

Cell = str | int | float | bool | datetime | Text | None


def console() -> Console:
    """Standard output; wide when nobody looks at it."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_PIPED, soft_wrap=not sys.stdout.isatty(), highlight=False)


def print_items(items: Iterable[BaseModel], columns: Mapping[str, str], *, as_json: bool, empty: str) -> None:
    """A listing: ``columns`` maps headings to attribute names."""
    if as_json:
        sys.stdout.write(json.dumps([item.model_dump(mode="json") for item in items], indent=2, ensure_ascii=False) + "\n")
        return
    rows = [[getattr(item, name) for name in columns.values()] for item in items]
    print_table(list(columns), rows, empty=empty)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, empty: str = "") -> None:
    """A table, or one word when it would be empty."""
    if not rows:
        console().print(Text(empty))
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        numeric = all(isinstance(row[number], int | float) and not isinstance(row[number], bool) for row in rows)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    console().print(table)


def print_facts(facts: Mapping[str, Cell]) -> None:
    """One thing, a line for each of its facts."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, cell(value))
    console().print(table)


def print_model(model: BaseModel) -> None:
    """One thing as JSON."""
    sys.stdout.write(model.model_dump_json(indent=2) + "\n")


def say(text: str) -> None:
    """One line of answer."""
    console().print(Text(one_line(text)))


def cell(value: Cell) -> Text:
    """A value as it stands in a table."""
    if isinstance(value, Text):
        return value
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, datetime):
        return Text(moment(value))
    text = one_line(str(value))
    return Text(text, style=_STYLES.get(text, ""))


def moment(at: datetime) -> str:
    """An instant in the person's own time zone."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def pairs(values: Mapping[str, object]) -> str:
    """A mapping in one line."""
    return " ".join(f"{key}={value}" for key, value in sorted(values.items()))


def size(size_bytes: float) -> str:
    """Bytes in a unit that people read."""
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} GiB"


def seconds(length_s: float) -> str:
    """A duration in a unit that people read."""
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if length_s >= 1.5 * unit_s:
            return f"{length_s / unit_s:.1f} {unit}"
    return f"{length_s:.1f} s"
