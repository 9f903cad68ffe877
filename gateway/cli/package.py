"""``tillgate package``: build and sign on this machine, upload, list, show, withdraw."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TimeRemainingColumn, TransferSpeedColumn

from gateway.api.package_models import PackageDetailOut, PackageOut, UploadOut
from gateway.cli.client import Client
from gateway.cli.failures import CommandError
from gateway.cli.output import LIMIT, AsJson, Limit, pairs, print_facts, print_items, print_model, say, size
from gateway.cli.values import key_values, path_part
from gateway.wire.codes import Component

PIECE_BYTES: Final = 256 * 1024
DEFAULT_KEY: Final = Path("keys/publisher.key")

app = typer.Typer(help="Packages: what is installed on terminals, signed by its publisher.", no_args_is_help=True)

Key = Annotated[
    Path, typer.Option("--key", envvar="TILLGATE_PUBLISHER_KEY", help="The publisher's private key; else ./keys/publisher.key.")
]


@app.command("build")
def build(
    source: Annotated[Path, typer.Argument(help="A file as it is, or a folder (packed the same on every machine).")],
    out: Annotated[Path, typer.Argument(help="The package file to write, by custom *.tgp.")],
    *,
    component: Annotated[Component, typer.Option(help="What it replaces on the terminal.")],
    version: Annotated[str, typer.Option(help="Such as 2.1.0 or 2.1.0-rc.1.")],
    counter: Annotated[int, typer.Option(min=1, help="Release counter; higher than that of every release before.")],
    model: Annotated[list[str], typer.Option(help="Terminal model; may be given several times.")],
    minimum: Annotated[list[str] | None, typer.Option(help="component=version that a terminal must have at least.")] = None,
    battery_min_pct: Annotated[int, typer.Option(min=0, max=100)] = 30,
    storage_min_bytes: Annotated[
        int | None, typer.Option(min=0, help="Free storage needed; else the size of the package.")
    ] = None,
    notes: Annotated[str, typer.Option(help="A sentence for people.")] = "",
    key: Key = DEFAULT_KEY,
) -> None:
    """Make a signed package from a file or a folder. Needs no gateway."""
    from gateway.packages.build import ManifestFields
    from gateway.packages.build import build as build_package

    fields = ManifestFields(
        component=component,
        version=version,
        counter=counter,
        models=tuple(model),
        minimum_versions=key_values(minimum or [], "--minimum"),
        battery_min_pct=battery_min_pct,
        storage_min_bytes=_size_of(source) if storage_min_bytes is None else storage_min_bytes,
        created_ms=time.time_ns() // 1_000_000,
        notes=notes,
    )
    manifest = build_package(source, out, private=_private(key), **fields)
    say(
        f"{out}: {manifest.component} {manifest.version}, {size(manifest.size_bytes)} in {len(manifest.segments)} segments, "
        f"for {', '.join(manifest.models)}"
    )


@app.command("sign")
def sign(source: Path, out: Path, *, key: Key = DEFAULT_KEY) -> None:
    """Write a package again under another key. Needs no gateway."""
    from gateway.packages.build import sign as sign_package

    manifest = sign_package(source, out, private=_private(key))
    say(f"{out}: {manifest.component} {manifest.version}, signed anew")


@app.command("upload")
def upload(context: typer.Context, file: Path, *, as_json: AsJson = False) -> None:
    """Send a package to the gateway, which keeps it only when it believes it."""
    with Client.of(context.obj) as client:
        try:
            size_bytes = file.stat().st_size
            with Progress(
                "{task.description}", BarColumn(), *_COLUMNS, disable=not sys.stderr.isatty(), console=Console(stderr=True)
            ) as bar:
                task = bar.add_task(file.name, total=size_bytes)
                done = client.upload("/api/v1/packages", UploadOut, _pieces(file, bar, task), size_bytes)
        except OSError as exc:
            raise CommandError(f"cannot read {file}: {exc.strerror}") from exc
    if as_json:
        print_model(done)
    else:
        say(f"{done.id}: {done.component} {done.version}{'' if done.created else ', which was there already'}")


@app.command("list")
def listing(
    context: typer.Context,
    *,
    component: Component | None = None,
    withdrawn: Annotated[bool | None, typer.Option("--withdrawn/--not-withdrawn")] = None,
    limit: Limit = LIMIT,
    as_json: AsJson = False,
) -> None:
    """Packages, newest first."""
    params = {"component": component.value if component else None, "withdrawn": withdrawn}
    columns = {
        "id": "id",
        "component": "component",
        "version": "version",
        "counter": "release_counter",
        "bytes": "size_bytes",
        "uploaded": "uploaded_at",
        "by": "uploaded_by",
        "withdrawn": "withdrawn_at",
    }
    with Client.of(context.obj) as client:
        print_items(
            client.pages("/api/v1/packages", PackageOut, params, limit=limit), columns, as_json=as_json, empty="no packages"
        )


@app.command("show")
def show(context: typer.Context, package: str, *, as_json: AsJson = False) -> None:
    """One package and what its publisher signed."""
    with Client.of(context.obj) as client:
        detail = client.get(f"/api/v1/packages/{path_part(package)}", PackageDetailOut)
    if as_json:
        print_model(detail)
        return
    manifest = detail.manifest
    print_facts(
        {
            "package": detail.id,
            "component": f"{detail.component} {detail.version} (release {detail.release_counter})",
            "models": ", ".join(detail.models),
            "size": f"{size(detail.size_bytes)} in {manifest.segments_count} segments",
            "sha256": detail.sha256,
            "needs": f"battery {manifest.battery_min_pct} %, storage {size(manifest.storage_min_bytes)} "
            + pairs(manifest.minimum_versions),
            "signed by": manifest.signed_by,
            "notes": detail.notes,
            "uploaded": detail.uploaded_at,
            "by": detail.uploaded_by,
            "withdrawn": detail.withdrawn_at,
            "campaigns": ", ".join(detail.campaigns) or None,
        }
    )


@app.command("withdraw")
def withdraw(context: typer.Context, package: str) -> None:
    """Let no new campaign use it; refused while one that is not over does."""
    with Client.of(context.obj) as client:
        done = client.post(f"/api/v1/packages/{path_part(package)}/withdraw", PackageOut)
    say(f"{done.id}: withdrawn")


_COLUMNS: Final = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())


def _pieces(file: Path, bar: Progress, task: TaskID) -> Iterator[bytes]:
    with file.open("rb") as source:
        while piece := source.read(PIECE_BYTES):
            yield piece
            bar.advance(task, len(piece))


def _private(path: Path) -> bytes:
    from gateway.config import read_private_key

    if not path.exists():
        raise CommandError(f"there is no publisher's key {path}; name it with --key")
    return read_private_key(path)


def _size_of(source: Path) -> int:
    """What a file, or all files of a folder, take up."""
    try:
        if source.is_dir():
            return sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        return source.stat().st_size
    except OSError as exc:
        raise CommandError(f"cannot read {source}: {exc.strerror}") from exc
