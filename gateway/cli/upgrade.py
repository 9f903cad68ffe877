"""``tillgate upgrade``: the upgrades of a campaign, one of them with its phases, estimate and history, and why it waits."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.api.explain_models import ExplanationOut
from gateway.api.shapes import Page
from gateway.api.transfer_models import TransferOut
from gateway.api.upgrade_models import UpgradeDetailOut, UpgradeOut
from gateway.cli.client import Client
from gateway.cli.output import (
    LIMIT,
    AsJson,
    Cell,
    Limit,
    moment,
    print_facts,
    print_items,
    print_model,
    print_table,
    seconds,
    size,
)
from gateway.cli.terminal import print_history
from gateway.cli.transfers import print_transfers
from gateway.cli.values import path_part

app = typer.Typer(help="One terminal's share of a campaign.", no_args_is_help=True)


@app.command("list")
def listing(
    context: typer.Context,
    campaign: str,
    *,
    state: Annotated[list[str] | None, typer.Option(help="Only in this state; may be given several times.")] = None,
    wave: Annotated[int | None, typer.Option(min=0, help="0 for the canaries, 1 for the rest.")] = None,
    limit: Limit = LIMIT,
    as_json: AsJson = False,
) -> None:
    """The upgrades of one campaign by terminal."""
    columns = {
        "terminal": "terminal",
        "wave": "wave",
        "state": "state",
        "since": "state_since_at",
        "code": "code",
        "waits": "waits",
        "attempt": "attempt",
        "verified bytes": "verified_bytes",
        "id": "id",
    }
    with Client.of(context.obj) as client:
        path = f"/api/v1/campaigns/{path_part(campaign)}/upgrades"
        found = client.pages(path, UpgradeOut, {"state": state, "wave": wave}, limit=limit)
        print_items(found, columns, as_json=as_json, empty="no upgrades")


@app.command("show")
def show(context: typer.Context, upgrade: str, *, as_json: AsJson = False) -> None:
    """One upgrade: phases with what they took and will take, what its transfers cost, and everything that happened."""
    with Client.of(context.obj) as client:
        detail = client.get(f"/api/v1/upgrades/{path_part(upgrade)}", UpgradeDetailOut)
        moved = client.get(f"/api/v1/upgrades/{path_part(upgrade)}/transfers", Page[TransferOut])
    if as_json:
        print_model(detail)
        return
    facts: dict[str, Cell] = {
        "upgrade": detail.id,
        "terminal": detail.terminal,
        "campaign": detail.campaign,
        "state": detail.state,
        "since": detail.state_since_at,
        "waits": detail.waits or None,
        "code": detail.code,
        "attempt": detail.attempt,
        "verified": f"{size(detail.verified_bytes)} of {size(detail.package_bytes)}",
    }
    if detail.received_bytes is not None and detail.wasted_bytes is not None:
        facts["received"] = f"{size(detail.received_bytes)}, {size(detail.wasted_bytes)} of it wasted"
    if detail.estimate is not None:
        facts["remaining"] = detail.estimate.remaining.text
    print_facts(facts)
    _print_phases(detail)
    print_transfers(moved.items)
    print_history(detail.history)


@app.command("explain")
def explain(context: typer.Context, upgrade: str, *, as_json: AsJson = False) -> None:
    """Why it stands where it stands: the last word each way, what is awaited until when, and what happens then."""
    with Client.of(context.obj) as client:
        found = client.get(f"/api/v1/upgrades/{path_part(upgrade)}/explain", ExplanationOut)
    if as_json:
        print_model(found)
        return
    facts: dict[str, Cell] = {
        "upgrade": found.id,
        "terminal": f"{found.terminal}, {'online' if found.online else 'offline'}",
        "state": found.state,
        "since": found.state_since_at,
        "last sent": _sent(found),
        "last heard": _heard(found),
    }
    if found.acked is not None:
        acked = found.acked
        facts["last acked"] = f"{size(acked.verified_bytes)} of {size(acked.package_bytes)} at {moment(acked.at)}"
    if found.order is not None:
        facts["order due"] = f"{found.order.kind} from {moment(found.order.at)} on"
    facts |= {"awaits": found.awaits or None, "until": found.until, "then": found.then_text}
    print_facts(facts | {"held up": "; ".join(found.holds_up) or None})


def _sent(found: ExplanationOut) -> str | None:
    sent = found.sent
    if sent is None:
        return None
    times = "once" if sent.times == 1 else f"{sent.times} times"
    again = f", again from {moment(sent.again_at)} on unless answered" if sent.again_at is not None else ""
    return f"{sent.kind} ({sent.order}) at {moment(sent.at)}, sent {times}{again}"


def _heard(found: ExplanationOut) -> str | None:
    reported = found.reported
    if reported is None:
        return None
    number = f" (report {reported.report}, receipt sent)" if reported.report is not None else ""
    code = "" if reported.code in {"", "ok"} else f" {reported.code}"
    return f"{reported.what}{code} at {moment(reported.at)}{number}"


def _print_phases(detail: UpgradeDetailOut) -> None:
    taken = {one.phase: one for one in detail.phases}
    estimate = detail.estimate
    names = list(estimate.phases) if estimate is not None else list(taken)
    rows: list[list[Cell]] = [
        [
            name,
            taken[name].entered_at if name in taken else None,
            seconds(taken[name].spent_s) if name in taken else None,
            estimate.phases[name].text if estimate is not None else None,
            estimate.left[name].text if estimate is not None else None,
            estimate.phases[name].basis if estimate is not None else None,
        ]
        for name in names
    ]
    print_table(["phase", "entered", "took", "estimate", "left", "basis"], rows)
