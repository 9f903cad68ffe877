"""``tillgate order``: order something of one terminal, and see what came of it."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from gateway.api.order_models import OrderIn, OrderOut
from gateway.cli.client import Client
from gateway.cli.failures import ENDED_BADLY
from gateway.cli.output import LIMIT, AsJson, Limit, pairs, print_facts, print_items, print_model
from gateway.cli.values import optional_duration_s, path_part

LOOK_EVERY_S: Final = 0.5
_OPEN: Final = frozenset({"pending", "sent"})

app = typer.Typer(help="Orders that are not part of an upgrade.", no_args_is_help=True)

Expires = Annotated[str | None, typer.Option(help="How long it waits for a terminal that is away, e.g. 2h; else 1 h.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the result; exit code 1 when it is not `done`.")]


@app.command("reboot")
def reboot(
    context: typer.Context, terminal: str, *, expires: Expires = None, wait: Wait = False, as_json: AsJson = False
) -> None:
    """Reboot a terminal once."""
    _order(context, terminal, "reboot", expires, wait=wait, as_json=as_json)


@app.command("inspect")
def inspect(
    context: typer.Context, terminal: str, *, expires: Expires = None, wait: Wait = False, as_json: AsJson = False
) -> None:
    """Ask a terminal how it is."""
    _order(context, terminal, "inspect", expires, wait=wait, as_json=as_json)


@app.command("show")
def show(context: typer.Context, order: str, *, as_json: AsJson = False) -> None:
    """One order and its result."""
    with Client.of(context.obj) as client:
        _print(client.get(f"/api/v1/orders/{path_part(order)}", OrderOut), as_json=as_json)


@app.command("list")
def listing(
    context: typer.Context,
    terminal: Annotated[str | None, typer.Argument(help="Only of this terminal.")] = None,
    *,
    status: Annotated[str | None, typer.Option(help="pending, sent, done, refused, failed or expired.")] = None,
    limit: Limit = LIMIT,
    as_json: AsJson = False,
) -> None:
    """Orders, newest first."""
    columns = {
        "id": "id",
        "terminal": "terminal",
        "kind": "kind",
        "status": "status",
        "code": "code",
        "created": "created_at",
        "by": "created_by",
        "updated": "updated_at",
    }
    with Client.of(context.obj) as client:
        found = client.pages("/api/v1/orders", OrderOut, {"terminal": terminal, "status": status}, limit=limit)
        print_items(found, columns, as_json=as_json, empty="no orders")


def _order(context: typer.Context, terminal: str, kind: str, expires: str | None, *, wait: bool, as_json: bool) -> None:
    given = optional_duration_s(expires)
    body = OrderIn(kind=kind) if given is None else OrderIn(kind=kind, expires_s=given)
    with Client.of(context.obj) as client:
        order = client.post(f"/api/v1/terminals/{path_part(terminal)}/orders", OrderOut, body)
        while wait and order.status in _OPEN:  # it expires by itself at the latest
            time.sleep(LOOK_EVERY_S)
            order = client.get(f"/api/v1/orders/{order.id}", OrderOut)
    _print(order, as_json=as_json)
    if wait and order.status != "done":
        raise typer.Exit(ENDED_BADLY)


def _print(order: OrderOut, *, as_json: bool) -> None:
    if as_json:
        print_model(order)
        return
    print_facts(
        {
            "order": order.id,
            "terminal": order.terminal,
            "kind": order.kind,
            "status": order.status,
            "code": order.code,
            "result": pairs(order.result),
            "created": order.created_at,
            "by": order.created_by,
            "expires": order.expires_at,
            "updated": order.updated_at,
        }
    )
