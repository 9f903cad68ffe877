"""``tillgate backup`` and ``restore``: a copy of the store while the gateway runs, put back while it does not."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.client import Connection, actor
from gateway.cli.output import moment, print_facts, size
from gateway.config import Settings, load


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; must not exist.")],
) -> None:
    """Copy the store of this folder's gateway, which may be running, and check the copy."""
    from gateway.store.backup import manifest_of, take

    settings = _settings(context)
    manifest = take(settings.store_path, file, now_us=time.time_ns() // 1000)
    print_facts(
        {
            "backup": f"{file}, {size(manifest.size_bytes)}, checked",
            "manifest": str(manifest_of(file)),
            "holds": ", ".join(f"{count} {table}" for table, count in manifest.rows.items()),
            "not in it": f"{len(manifest.payloads)} payloads in {settings.packages_path}, settings, keys: copy them too",
        }
    )


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `tillgate backup` wrote, its manifest beside it.")],
    *,
    pause: Annotated[bool, typer.Option("--pause", help="Pause the campaigns that ran when it was taken.")] = False,
) -> None:
    """Put a backup in the place of the store; no gateway may be running on it. The replaced store is kept."""
    import anyio

    from gateway.services.context import operator
    from gateway.store.backup import Restored, put_back

    settings = _settings(context)

    async def run() -> Restored:
        now_us = time.time_ns() // 1000
        return await put_back(file, settings.store_path, actor=operator(actor()), now_us=now_us, pause=pause)

    done = anyio.run(run)
    missing = [name for name in done.manifest.payloads if not (settings.packages_path / name).is_file()]
    print_facts(
        {
            "restored": f"{settings.store_path}, as of {moment(datetime.fromtimestamp(done.manifest.taken_us / 1e6, UTC))}",
            "replaced": str(done.aside) if done.aside is not None else None,
            "running": ", ".join(done.running) or None,
            "paused": ", ".join(done.paused) or None,
            "missing": f"{', '.join(missing)} in {settings.packages_path}: upload these packages again" if missing else None,
            "next": "pause or abort what was paused or aborted since, as soon as the gateway has started"
            if done.running
            else "start the gateway",
        }
    )


def _settings(context: typer.Context) -> Settings:
    connection: Connection = context.obj
    return load(connection.settings_file())
