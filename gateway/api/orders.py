"""Routes about orders that are not part of an upgrade."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from gateway.api.given import Actor, Cursor, Given, Limit, OrderId, PageLimit, TerminalId, problems
from gateway.api.order_models import OrderIn, OrderOut
from gateway.api.shapes import ID_PATTERN, Page, moment
from gateway.services import orders
from gateway.store.orders import OrderRow

router = APIRouter(tags=["orders"])

Status = Literal["pending", "sent", "done", "refused", "failed", "expired"]


@router.post(
    "/terminals/{terminal}/orders",
    operation_id="createOrder",
    summary="Give a terminal an order",
    status_code=201,
    responses=problems(s404="Terminal not registered", s409="Too many open, or the same is open", s422="Kind not allowed"),
)
async def create(terminal: TerminalId, body: OrderIn, services: Given, actor: Actor) -> OrderOut:
    """Order something of one terminal: `reboot` or `inspect`. It goes out once the terminal is online, and is executed once."""
    return order_out(await orders.create(services, terminal, body.kind, actor=actor, expires_s=body.expires_s))


@router.get(
    "/terminals/{terminal}/orders",
    operation_id="listTerminalOrders",
    summary="List the orders of a terminal",
    responses=problems(s404="Terminal not registered"),
)
async def of_terminal(terminal: TerminalId, services: Given, cursor: Cursor = None, limit: Limit = PageLimit) -> Page[OrderOut]:
    """The orders of one terminal, newest first."""
    page = await orders.listing(services, terminal=terminal, cursor=cursor, limit=limit)
    return Page(items=[order_out(row) for row in page.rows], next=page.next)


@router.get("/orders", operation_id="listOrders", summary="List the orders of the fleet", responses=problems(s422="Invalid"))
async def listing(
    services: Given,
    terminal: Annotated[str | None, Query(pattern=ID_PATTERN, description="Only orders of this terminal.")] = None,
    status: Annotated[Status | None, Query(description="Only orders that stand so.")] = None,
    cursor: Cursor = None,
    limit: Limit = PageLimit,
) -> Page[OrderOut]:
    """Orders of the whole fleet, newest first."""
    page = await orders.listing(services, terminal=terminal or "", status=status or "", cursor=cursor, limit=limit)
    return Page(items=[order_out(row) for row in page.rows], next=page.next)


@router.get(
    "/orders/{order}",
    operation_id="showOrder",
    summary="Show one order and its result",
    responses=problems(s404="There is none"),
)
async def show(order: OrderId, services: Given) -> OrderOut:
    """One order and its result."""
    return order_out(await orders.show(services, order))


def order_out(row: OrderRow) -> OrderOut:
    """One order as an answer."""
    return OrderOut(
        id=row.id,
        terminal=row.terminal,
        kind=row.kind,
        status=row.status,
        code=row.code,
        result=dict(row.data),
        created_at=moment(row.created_us),
        created_by=row.created_by,
        expires_at=moment(row.expires_us),
        updated_at=moment(row.updated_us or row.created_us),
    )
