"""Routes about budgets of bytes: which hold, what is used of them today, and setting them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gateway.api.budget_models import BudgetIn, BudgetOut, ScopeWord
from gateway.api.given import Actor, Cursor, Given, Limit, PageLimit, problems
from gateway.api.shapes import Page, moment
from gateway.core.budgets import Scope
from gateway.services import budgets
from gateway.services.budgets import PARTS, Budget

router = APIRouter(tags=["budgets"])

ScopeOf = Annotated[ScopeWord, Path(description="Whose budget it is.")]


@router.get(
    "/budgets", operation_id="listBudgets", summary="List the budgets that were set", responses=problems(s422="Invalid")
)
async def listing(
    services: Given,
    scope: Annotated[ScopeWord | None, Query(description="Only budgets of this scope.")] = None,
    cursor: Cursor = None,
    limit: Limit = PageLimit,
) -> Page[BudgetOut]:
    """Budgets that a person has set, by scope and name."""
    wanted = None if scope is None else Scope(scope)
    page = await budgets.listing(services, scope=wanted, cursor=cursor, limit=limit)
    return Page(items=[budget_out(one) for one in page.rows], next=page.next)


@router.get(
    "/budgets/{scope}",
    operation_id="showBudget",
    summary="Show one budget and its use today",
    responses=problems(s404="No such terminal, site or campaign", s422="Invalid"),
)
async def show(
    scope: ScopeOf,
    services: Given,
    name: Annotated[str, Query(max_length=128, description="As in the body that sets it.")] = "",
) -> BudgetOut:
    """One budget in force, whoever has set it, and what is used of it today."""
    return budget_out(await budgets.show(services, Scope(scope), name))


@router.post(
    "/budgets/{scope}",
    operation_id="setBudget",
    summary="Set one budget",
    responses=problems(s404="No such terminal, site or campaign", s422="Nothing would ever arrive under it"),
)
async def put(scope: ScopeOf, body: BudgetIn, services: Given, actor: Actor) -> BudgetOut:
    """Set a budget, which holds at once for transfers under way; who waits for tomorrow and need not any more goes on."""
    change = {part: getattr(body, part) for part in PARTS if part in body.model_fields_set}
    return budget_out(await budgets.put(services, Scope(scope), body.name, change, actor=actor))


def budget_out(budget: Budget) -> BudgetOut:
    """One budget as an answer."""
    row = budget.row
    return BudgetOut(
        scope=budget.scope.value,
        name=budget.name,
        bytes_per_s=budget.limit.bytes_per_s,
        bytes_per_day=budget.limit.bytes_per_day,
        own=[part for part in PARTS if row is not None and getattr(row, part) is not None],
        set_at=None if row is None else moment(row.set_us),
        set_by="" if row is None else row.set_by,
        used_bytes=budget.used_bytes,
        day_ends_at=moment(budget.day_ends_us),
    )
