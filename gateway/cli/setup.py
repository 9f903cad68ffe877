"""``tillgate init`` makes a gateway's folder, ``tillgate serve`` runs it: what comes before there is a gateway to ask."""

from __future__ import annotations

import importlib.util
import os
import secrets
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.cli.client import Connection
from gateway.cli.failures import CommandError
from gateway.cli.output import print_facts
from gateway.config import FILE_NAME, load
from gateway.errors import TillgateError

_SETTINGS: Final = """\
# Settings of one Tillgate gateway; docs/operations.md explains every key. Relative paths are relative to this file.
# TILLGATE_<KEY> in the environment wins over what stands here.

store_path = "var/tillgate.db"
packages_path = "var/packages"

broker_host = "{broker_host}"
broker_port = {broker_port}
broker_client_id = "{client_id}"
# broker_username = "tillgate"
# broker_password_file = "broker-password"
# broker_ca_file = "keys/broker-ca.pem"

http_host = "{http_host}"
http_port = {http_port}
token_file = "token"

order_key_file = "keys/order.key"
publisher_key_files = ["keys/publisher.pub"]

log_level = "info"
log_format = "json"
"""
_SECRET: Final = 0o600
_OPEN: Final = 0o644


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to make it; may exist, must not hold a gateway yet.")],
    *,
    broker_host: Annotated[str, typer.Option(help="Host of the MQTT broker.")] = "127.0.0.1",
    broker_port: Annotated[int, typer.Option(min=1, max=65_535)] = 1883,
    http_host: Annotated[str, typer.Option(help="Address that the API listens on.")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=1, max=65_535)] = 8080,
) -> None:
    """Make settings, keys and a token for a new gateway."""
    from gateway.trust.keys import new_private_key, private_text, public_of, public_text

    for name, value in (("--broker-host", broker_host), ("--http-host", http_host)):
        if not value or not value.isascii() or any(char in value for char in '"\\ \n\t'):
            raise CommandError(f"{name} is not a host name or address")
    order, publisher = new_private_key(), new_private_key()
    settings = _SETTINGS.format(
        broker_host=broker_host,
        broker_port=broker_port,
        client_id=f"tillgate-{secrets.token_hex(4)}",
        http_host=http_host,
        http_port=http_port,
    )
    files = {
        "keys/order.key": (private_text(order), _SECRET),
        "keys/order.pub": (public_text(public_of(order)), _OPEN),
        "keys/publisher.key": (private_text(publisher), _SECRET),
        "keys/publisher.pub": (public_text(public_of(publisher)), _OPEN),
        "token": (secrets.token_urlsafe(32) + "\n", _SECRET),
        FILE_NAME: (settings, _OPEN),  # last: its presence says that the rest is there
    }
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise CommandError(f"{folder} holds {there[0]} already; nothing was changed")
    try:
        (folder / "keys").mkdir(parents=True, exist_ok=True)
        (folder / "keys").chmod(0o700)
        (folder / "var").mkdir(mode=0o700, exist_ok=True)
        for name, (text, mode) in files.items():
            _write(folder / name, text, mode)
    except OSError as exc:
        raise CommandError(f"cannot make {folder}: {exc.strerror}") from exc
    print_facts(
        {
            "settings": str(folder / FILE_NAME),
            "token": str(folder / "token"),
            "publisher's key": f"{folder / 'keys' / 'publisher.key'} (move it to where packages are signed)",
            "terminals need": f"{folder / 'keys' / 'order.pub'} and {folder / 'keys' / 'publisher.pub'}",
            "next": f"tillgate --config {folder / FILE_NAME} serve",
        }
    )


def serve(context: typer.Context) -> None:
    """Run the gateway until SIGINT or SIGTERM."""
    connection: Connection = context.obj
    settings = load(connection.settings_file())
    # Missing secrets are said before anything is imported, let alone opened.
    settings.bearer_token()
    settings.order_key()
    settings.publisher_keys()

    import anyio

    from gateway import log
    from gateway.runtime import serve as run

    log.configure(settings.log_level, settings.log_format)
    loop = {"use_uvloop": importlib.util.find_spec("uvloop") is not None}
    try:
        anyio.run(run, settings, backend_options=loop)
    except ExceptionGroup as group:
        ours, bugs = group.split(TillgateError)
        if ours is None or bugs is not None:
            raise
        raise _first(ours) from None


def _first(group: ExceptionGroup[TillgateError]) -> TillgateError:
    """The innermost first error of a task group: one line is enough for a person."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def _write(path: Path, text: str, mode: int) -> None:
    """Never over a file that is there, and never readable by others for a moment."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
