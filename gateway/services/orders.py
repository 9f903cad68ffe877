"""Orders that are not part of an upgrade: ask for one, look at its result, list those of a terminal."""

from __future__ import annotations

from typing import Final

from gateway.core.effects import Append
from gateway.errors import ConflictError, NotFoundError, RequestError
from gateway.services import cursors
from gateway.services.context import Services, new_id
from gateway.services.pages import Page, page_of
from gateway.services.terminals import unknown_terminal
from gateway.store import ledger, orders, terminals
from gateway.store.orders import OrderRow
from gateway.wire.codes import OrderKind

#: What people and backends may order by itself. Upgrade orders belong to campaigns.
ALLOWED: Final = (OrderKind.REBOOT, OrderKind.INSPECT)
EXPIRES_DEFAULT_S: Final = 3600.0
EXPIRES_MIN_S: Final = 10.0
EXPIRES_MAX_S: Final = 7 * 86_400.0
OPEN_MAX: Final = 16  # of one terminal; a terminal that has been away must not wake up to a hundred reboots


async def create(services: Services, terminal: str, kind: str, *, actor: str, expires_s: float | None = None) -> OrderRow:
    """Order something of one terminal; it goes out as soon as the terminal is online, unless it expires before.

    Raises:
        RequestError: ``order_kind_unsupported`` or ``expires_invalid``.
        NotFoundError: ``terminal_unknown``.
        ConflictError: ``too_many_orders``, or ``order_repeated`` when the same kind is open already.
    """
    if kind not in {one.value for one in ALLOWED}:
        allowed = ", ".join(one.value for one in ALLOWED)
        text = f"orders of kind {kind[:40]!r} cannot be given here; allowed are {allowed}. Upgrades are ordered by campaigns"
        raise RequestError(text, code="order_kind_unsupported")
    expires_s = EXPIRES_DEFAULT_S if expires_s is None else expires_s
    if not EXPIRES_MIN_S <= expires_s <= EXPIRES_MAX_S:
        text = f"an order expires after {EXPIRES_MIN_S:g} to {EXPIRES_MAX_S:g} seconds"
        raise RequestError(text, code="expires_invalid")

    now_us = services.now_us()
    async with services.db.write() as tx:
        if terminal not in await terminals.load(tx, [terminal]):
            raise unknown_terminal(terminal)
        under_way = await orders.load_open(tx, [terminal])
        if len(under_way) >= OPEN_MAX:
            text = f"terminal {terminal} has {len(under_way)} open orders, the most allowed; wait for their results"
            raise ConflictError(text, code="too_many_orders")
        same = next((order for order in under_way if order.kind == kind), None)
        if same is not None:
            raise ConflictError(
                f"order {same.id} already asks this of {terminal}: {kind}", code="order_repeated", order=same.id
            )
        row = OrderRow(
            id=new_id("o", now_us),
            terminal=terminal,
            kind=kind,
            created_us=now_us,
            created_by=actor,
            expires_us=now_us + int(expires_s * 1e6),
            updated_us=now_us,
        )
        await orders.add(tx, row)
        await ledger.append(tx, [_entry(row, actor)])
    services.doorbell.ring("orders")
    services.doorbell.ring("ledger")
    return row


async def show(services: Services, order: str) -> OrderRow:
    """One order and its result; ``NotFoundError`` (``order_unknown``)."""
    row = await orders.get(services.db, order)
    if row is None:
        raise NotFoundError(f"there is no order {order}", code="order_unknown", order=order)
    return row


async def listing(
    services: Services, *, terminal: str = "", status: str = "", cursor: str | None, limit: int
) -> Page[OrderRow]:
    """Orders, newest first, of one terminal when named; ``NotFoundError`` (``terminal_unknown``)."""
    after = cursors.decode("orders", cursor)
    async with services.db.read() as tx:
        if terminal and terminal not in await terminals.load(tx, [terminal]):
            raise unknown_terminal(terminal)
        rows = await orders.page(tx, terminal=terminal, status=status, after=after, limit=limit + 1)
    return page_of("orders", rows, limit, lambda row: row.id)


def _entry(row: OrderRow, actor: str) -> Append:
    return Append(
        at_us=row.created_us,
        terminal=row.terminal,
        campaign="",
        upgrade="",
        actor=actor,
        what="order_created",
        from_state="",
        to_state="pending",
        code="ok",
        evidence={"order": row.id, "kind": row.kind},
    )
