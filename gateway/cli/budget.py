"""``tillgate budget``: which budgets of bytes hold, what is used of them today, and setting them."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import ValidationError

from gateway import invalid
from gateway.api.budget_models import BudgetIn, BudgetOut
from gateway.cli.client import Client
from gateway.cli.failures import CommandError
from gateway.cli.output import LIMIT, AsJson, Cell, Limit, print_facts, print_items, print_model, print_table, say, size
from gateway.cli.values import DEFAULT, data_bytes, rate_bytes_per_s

app = typer.Typer(help="Budgets: how many bytes per second and per day may go out.", no_args_is_help=True)

Scope = Annotated[str, typer.Argument(help="terminal, site, campaign or gateway.")]
Name = Annotated[
    str, typer.Argument(help="Of the terminal, site or campaign; none for the gateway, or for all terminals or sites.")
]


@app.command("list")
def listing(
    context: typer.Context,
    *,
    scope: Annotated[str | None, typer.Option(help="Only terminal, site, campaign or gateway.")] = None,
    limit: Limit = LIMIT,
    as_json: AsJson = False,
) -> None:
    """What holds for the gateway and for all terminals and sites, then every budget that a person has set."""
    with Client.of(context.obj) as client:
        found = list(client.pages("/api/v1/budgets", BudgetOut, {"scope": scope}, limit=limit))
        known = {(one.scope, one.name) for one in found}
        general = [one for one in ("gateway", "site", "terminal") if scope in {None, one} and (one, "") not in known]
        found = [*(client.get(f"/api/v1/budgets/{one}", BudgetOut) for one in general), *found]
    if as_json:
        print_items(found, {}, as_json=True, empty="")
        return
    rows: list[list[Cell]] = [
        [one.scope, one.name or ("" if one.scope == "gateway" else "(all)"), *limits(one), used(one), one.set_by, one.set_at]
        for one in found
    ]
    print_table(["scope", "name", "per second", "per day", "used today", "set by", "set"], rows, empty="no budgets")


@app.command("show")
def show(context: typer.Context, scope: Scope, name: Name = "", *, as_json: AsJson = False) -> None:
    """One budget in force, and what is used of it today."""
    with Client.of(context.obj) as client:
        found = client.get(f"/api/v1/budgets/{_scope(scope)}", BudgetOut, {"name": name})
    if as_json:
        print_model(found)
        return
    per_s, per_day = limits(found)
    print_facts(
        {
            "budget": f"{found.scope} {found.name}".strip(),
            "per second": per_s,
            "per day": per_day,
            "used today": used(found),
            "day ends": found.day_ends_at,
            "set by": f"{found.set_by} ({', '.join(found.own)})" if found.own else "settings or terms",
            "set": found.set_at,
        }
    )


@app.command("set")
def put(
    context: typer.Context,
    scope: Scope,
    name: Name = "",
    *,
    rate: Annotated[str | None, typer.Option(help="Bytes per second, such as 20kB; none, or default.")] = None,
    daily_bytes: Annotated[str | None, typer.Option(help="Bytes per day, such as 20MB; none, or default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set a budget; what is not given stays. `none` sets no limit, `default` goes back to the settings or terms."""
    values: dict[str, object] = {"name": name}
    if rate is not None:
        values["bytes_per_s"] = None if rate == DEFAULT else rate_bytes_per_s(rate)
    if daily_bytes is not None:
        values["bytes_per_day"] = None if daily_bytes == DEFAULT else data_bytes(daily_bytes)
    if len(values) == 1:
        raise CommandError("say what to set: --rate or --daily-bytes")
    try:
        body = BudgetIn.model_validate(values)
    except ValidationError as exc:
        raise CommandError(invalid.text(exc)) from exc
    with Client.of(context.obj) as client:
        found = client.post(f"/api/v1/budgets/{_scope(scope)}", BudgetOut, body)
    if as_json:
        print_model(found)
    else:
        per_s, per_day = limits(found)
        whose = found.scope if found.scope == "gateway" else f"{found.scope} {found.name or '(all)'}"
        say(f"{whose}: {per_s} per second, {per_day} per day")


def limits(budget: BudgetOut) -> tuple[str, str]:
    """Per second and per day, in words."""
    per_s, per_day = (size(one) if one else "no limit" for one in (budget.bytes_per_s, budget.bytes_per_day))
    return per_s, per_day


def used(budget: BudgetOut) -> str:
    """What is used today; nothing where the budget stands for many."""
    if not budget.name and budget.scope != "gateway":
        return ""
    return f"{size(budget.used_bytes)} of {size(budget.bytes_per_day)}" if budget.bytes_per_day else size(budget.used_bytes)


def _scope(scope: str) -> str:
    if scope not in {"terminal", "site", "campaign", "gateway"}:
        raise CommandError("a budget is one of a terminal, site, campaign or the gateway")
    return scope
