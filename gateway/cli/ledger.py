"""``tillgate ledger``: whether it still is what was written, and the ledger as a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.api.ledger_models import AuditLine, FindingOut, LookedOut, VerdictOut
from gateway.cli.client import Client, Params
from gateway.cli.failures import DONE, ENDED_BADLY, CommandError, one_line
from gateway.cli.output import AsJson, say
from gateway.services.export import Format

app = typer.Typer(help="The ledger as a whole: verify it, export it.", no_args_is_help=True)

FirstDay = Annotated[str | None, typer.Option("--from", help="First day in UTC, such as 2026-11-26.")]
LastDay = Annotated[str | None, typer.Option("--to", help="Last day in UTC.")]

_LINE: Final = TypeAdapter[LookedOut | FindingOut | VerdictOut](AuditLine)


@app.command("verify")
def verify(context: typer.Context, *, first_day: FirstDay = None, last_day: LastDay = None, as_json: AsJson = False) -> int:
    """Find every changed, missing or inserted entry and every broken seal; exit code 1 when there is one."""
    verdict: VerdictOut | None = None
    with Client.of(context.obj) as client, _progress() as progress:
        bar = progress.add_task("entries", total=None)
        for line in _lines(client, {"from": first_day, "to": last_day}):
            match line:
                case LookedOut():
                    progress.update(bar, completed=line.entry_count, total=line.total_count)
                case FindingOut():
                    _print(line.model_dump_json() if as_json else finding_text(line))
                case VerdictOut():
                    verdict = line
    if verdict is None:
        raise CommandError("the gateway broke off before it had looked at everything; its log says why")
    if as_json:
        _print(verdict.model_dump_json())
    else:
        for text in verdict_texts(verdict):
            say(text)
    return ENDED_BADLY if verdict.finding_count else DONE


@app.command("export")
def export(
    context: typer.Context,
    *,
    layout: Annotated[str, typer.Option("--format", help="jsonl (JSON lines) or csv (for spreadsheets).")] = "jsonl",
    first_day: FirstDay = None,
    last_day: LastDay = None,
    terminal: Annotated[str | None, typer.Option(help="Only of this terminal.")] = None,
    out: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; else standard output.")] = None,
) -> None:
    """Write the ledger as a file, the oldest entry first."""
    params: Params = {"format": _layout(layout), "from": first_day, "to": last_day, "terminal": terminal}
    with Client.of(context.obj) as client, ExitStack() as stack:
        pieces = client.download("/api/v1/ledger/export", params)
        first = next(pieces, b"")  # what is refused leaves no file behind
        file: BinaryIO = sys.stdout.buffer if out is None else stack.enter_context(_whole(out))
        file.write(first)
        file.writelines(pieces)
        file.flush()


def finding_text(finding: FindingOut) -> str:
    """A finding in one line: what, which, why."""
    numbers = str(finding.number) if finding.last == finding.number else f"{finding.number} to {finding.last}"
    of = f" of {finding.terminal}" if finding.terminal else ""
    if finding.what == "seal":
        return one_line(f"broken seal {numbers}: {finding.text}")
    if finding.what == "head":
        return one_line(f"wrong head at entry {numbers}{of}: {finding.text}")
    return one_line(f"{finding.what} entry {numbers}{of}: {finding.text}")


def verdict_texts(verdict: VerdictOut) -> Iterator[str]:
    """What was looked at, and what came of it."""
    yield f"{verdict.entry_count} entries and {verdict.seal_count} seals verified; not sealed yet: {verdict.unsealed_count}"
    seal = verdict.newest_seal
    if seal is not None:
        yield f"newest seal {seal.number} of {seal.day}, up to entry {seal.last_seq}: {seal.hash}"
    if verdict.stopped:
        yield f"stopped after {verdict.finding_count} findings; there may be more"
    else:
        yield f"{verdict.finding_count} findings" if verdict.finding_count else "nothing is wrong"


def _lines(client: Client, params: Params) -> Iterator[LookedOut | FindingOut | VerdictOut]:
    rest = b""
    for piece in client.download("/api/v1/ledger/audit", params):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            try:
                yield _LINE.validate_json(line)
            except ValidationError as exc:
                raise CommandError(f"{client.url} does not answer as a Tillgate gateway does") from exc


def _progress() -> Progress:
    """A bar on standard error, and nothing at all when nobody looks at it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _layout(text: str) -> Format:
    match text:
        case "jsonl" | "csv":
            return text
        case _:
            raise CommandError(f"--format {one_line(text)}: expected jsonl or csv")


@contextmanager
def _whole(file: Path) -> Iterator[BinaryIO]:
    """A file to write that gets its name at the end of the block: half of a ledger never looks like a whole one."""
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as out:
            yield out
        part.replace(file)
    except OSError as exc:
        raise CommandError(f"cannot write {file}: {exc.strerror}") from exc
    finally:
        part.unlink(missing_ok=True)
