"""``tillgate campaign``: draw up, estimate, start, pause, resume, install, abort, list, show, watch."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from gateway import invalid
from gateway.api.campaign_models import (
    CampaignIn,
    CampaignOut,
    CreatedOut,
    NoteIn,
    PhaseEstimateOut,
    PreviewOut,
    ProgressOut,
    ResumeIn,
)
from gateway.cli.budget import limits, used
from gateway.cli.client import Client
from gateway.cli.failures import CommandError
from gateway.cli.output import (
    LIMIT,
    AsJson,
    Cell,
    Limit,
    moment,
    pairs,
    print_facts,
    print_items,
    print_model,
    print_table,
    say,
    size,
)
from gateway.cli.transfers import totals
from gateway.cli.values import data_bytes, json_values, key_values, optional_duration_s, path_part, rate_bytes_per_s, window
from gateway.cli.watch import watch as watch_campaign

EVERY_S: Final = 1.0

app = typer.Typer(help="Campaigns: one package to many terminals.", no_args_is_help=True)

Note = Annotated[str, typer.Option(help="Why; the ledger keeps it.")]
Watch = Annotated[
    bool, typer.Option("--watch", help="Follow it until it is over; exit code 1 when it stops by its rule or is aborted.")
]
Every = Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two looks.")]
Duration = Annotated[str | None, typer.Option(help="Such as 90s, 15min, 24h, 7d.")]


@app.command("create")
def create(
    context: typer.Context,
    name: str,
    *,
    package: Annotated[str, typer.Option(help="Id of the package.")],
    terminal: Annotated[list[str] | None, typer.Option(help="Id of a terminal; may be given several times.")] = None,
    terminals_file: Annotated[Path | None, typer.Option(help="A file with one id on each line.")] = None,
    model: Annotated[str | None, typer.Option(help="Filter: terminals of this model.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Filter: key=value.")] = None,
    version: Annotated[list[str] | None, typer.Option(help="Filter: component=version.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Filter: how the id begins.")] = None,
    online: Annotated[bool | None, typer.Option("--online/--offline", help="Filter: where they are now.")] = None,
    canary: Annotated[int | None, typer.Option(min=0, help="Upgrades that go first.")] = None,
    canary_terminal: Annotated[list[str] | None, typer.Option(help="A terminal that goes first, by id.")] = None,
    canary_needed: Annotated[int | None, typer.Option(min=0, help="Canaries that have to pass; else four of five.")] = None,
    gate: Annotated[str | None, typer.Option(help="What passing means: verified or succeeded.")] = None,
    max_active: Annotated[int | None, typer.Option(min=1, help="Most upgrades under way at once.")] = None,
    failure_ratio: Annotated[float | None, typer.Option(min=0, max=1, help="Stop above this share of failures.")] = None,
    failure_min: Annotated[int | None, typer.Option(min=1, help="Judged upgrades before that share counts.")] = None,
    soak: Duration = None,
    health_every: Duration = None,
    boot_budget: Duration = None,
    duration: Duration = None,
    ends_at: Annotated[datetime | None, typer.Option(help="A fixed end, in this machine's time zone.")] = None,
    ask: Annotated[bool | None, typer.Option("--ask/--no-ask", help="Whether merchants must consent.")] = None,
    rate: Annotated[str | None, typer.Option(help="Most bytes per second of all its transfers, such as 200kB.")] = None,
    daily_bytes: Annotated[str | None, typer.Option(help="Most bytes per day of all its transfers, such as 2GB.")] = None,
    install_window: Annotated[str | None, typer.Option(help="Install inside these hours only, such as 02:00-05:00.")] = None,
    install_days: Annotated[str | None, typer.Option(help="On these days, such as mon-fri or sat,sun; else on all.")] = None,
    install_zone: Annotated[
        str | None, typer.Option(help="On this zone's clock, such as Asia/Shanghai; else on each terminal's own.")
    ] = None,
    install_on_release: Annotated[
        bool, typer.Option("--install-on-release", help="Install only after `tillgate campaign install`.")
    ] = False,
    term: Annotated[list[str] | None, typer.Option(help="Any other term as key=JSON, e.g. attempts_max=5.")] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Say how long it would take, and create nothing.")] = False,
    start: Annotated[bool, typer.Option("--start", help="Start it at once.")] = False,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Draw up a campaign for named terminals or for all that a filter means; nothing moves before it is started."""
    named = [*(terminal or []), *_ids(terminals_file)]
    filters = {
        "model": model,
        "labels": key_values(label or [], "--label"),
        "versions": key_values(version or [], "--version"),
        "id_prefix": prefix,
        "online": online,
    }
    chosen = {key: value for key, value in filters.items() if value not in (None, {})}
    if bool(named) == bool(chosen):
        raise CommandError("name terminals with --terminal or --terminals-file, or give a filter; one of both")
    terms = {
        "canary_count": canary,
        "canary_needed": canary_needed,
        "gate": gate,
        "max_active": max_active,
        "failure_ratio": failure_ratio,
        "failure_min": failure_min,
        "soak_s": optional_duration_s(soak),
        "health_every_s": optional_duration_s(health_every),
        "boot_budget_s": optional_duration_s(boot_budget),
        "duration_s": optional_duration_s(duration),
        "ask_merchant": ask,
        "bytes_per_s": None if rate is None else rate_bytes_per_s(rate),
        "bytes_per_day": None if daily_bytes is None else data_bytes(daily_bytes),
        "install_window": window(install_window, install_days, install_zone),
        "install_on_release": install_on_release or None,
    }
    body = _body(
        {
            "name": name,
            "package": package,
            "terminals": named or chosen,
            "terms": {key: value for key, value in terms.items() if value is not None} | json_values(term or [], "--term"),
        }
        | ({"canaries": canary_terminal} if canary_terminal else {})
        | ({"ends_at": ends_at.astimezone()} if ends_at else {})
    )
    with Client.of(context.obj) as client:
        if estimate:
            _print_preview(client.post("/api/v1/campaigns:estimate", PreviewOut, body), as_json=as_json)
            return
        made = client.post("/api/v1/campaigns", CreatedOut, body)
        if start or watch:
            client.post(f"/api/v1/campaigns/{made.id}/start", CampaignOut)
        if as_json:
            print_model(made)
        else:
            more = f", {made.excluded_count} of other models left out" if made.excluded_count else ""
            say(f"{made.id}: {made.upgrades_count} upgrades{more}{', started' if start or watch else ''}")
        if watch:
            raise typer.Exit(watch_campaign(client, made.id, every_s=EVERY_S))


@app.command("start")
def start(context: typer.Context, campaign: str, *, watch: Watch = False) -> None:
    """Let a draft run."""
    with Client.of(context.obj) as client:
        _say_state(client.post(f"{_path(campaign)}/start", CampaignOut))
        if watch:
            raise typer.Exit(watch_campaign(client, campaign, every_s=EVERY_S))


@app.command("pause")
def pause(context: typer.Context, campaign: str, *, note: Note = "") -> None:
    """Start no more upgrades; what is under way goes on."""
    with Client.of(context.obj) as client:
        _say_state(client.post(f"{_path(campaign)}/pause", CampaignOut, NoteIn(note=note)))


@app.command("resume")
def resume(
    context: typer.Context,
    campaign: str,
    *,
    accept_failures: Annotated[bool, typer.Option("--accept-failures", help="Go on although a stop rule paused it.")] = False,
    note: Note = "",
    watch: Watch = False,
) -> None:
    """Go on with a paused campaign."""
    with Client.of(context.obj) as client:
        _say_state(client.post(f"{_path(campaign)}/resume", CampaignOut, ResumeIn(accept_failures=accept_failures, note=note)))
        if watch:
            raise typer.Exit(watch_campaign(client, campaign, every_s=EVERY_S))


@app.command("install")
def install(context: typer.Context, campaign: str, *, note: Note = "") -> None:
    """Release the installs of a campaign that was drawn up with --install-on-release."""
    with Client.of(context.obj) as client:
        _say_state(client.post(f"{_path(campaign)}/install", CampaignOut, NoteIn(note=note)))


@app.command("abort")
def abort(context: typer.Context, campaign: str, *, note: Note = "") -> None:
    """End it: what does not install yet is cancelled, the rest goes on to its proven end."""
    with Client.of(context.obj) as client:
        _say_state(client.post(f"{_path(campaign)}/abort", CampaignOut, NoteIn(note=note)))


@app.command("list")
def listing(
    context: typer.Context,
    *,
    state: Annotated[list[str] | None, typer.Option(help="draft, running, paused, aborted or finished.")] = None,
    limit: Limit = LIMIT,
    as_json: AsJson = False,
) -> None:
    """Campaigns, newest first."""
    columns = {
        "id": "id",
        "name": "name",
        "package": "package",
        "state": "state",
        "created": "created_at",
        "started": "started_at",
        "ends": "ends_at",
        "finished": "finished_at",
        "reason": "reason",
    }
    with Client.of(context.obj) as client:
        found = client.pages("/api/v1/campaigns", CampaignOut, {"state": state}, limit=limit)
        print_items(found, columns, as_json=as_json, empty="no campaigns")


@app.command("show")
def show(
    context: typer.Context, campaign: str, *, watch: Watch = False, every: Every = EVERY_S, as_json: AsJson = False
) -> None:
    """How a campaign stands: counts, bytes, failures, what was measured, how long it still takes."""
    with Client.of(context.obj) as client:
        if watch:
            raise typer.Exit(watch_campaign(client, path_part(campaign), every_s=every))
        _print_progress(client.get(f"{_path(campaign)}/progress", ProgressOut), as_json=as_json)


@app.command("watch")
def watch_(context: typer.Context, campaign: str, *, every: Every = EVERY_S) -> None:
    """Follow a campaign live until it is over."""
    with Client.of(context.obj) as client:
        raise typer.Exit(watch_campaign(client, path_part(campaign), every_s=every))


def _path(campaign: str) -> str:
    return f"/api/v1/campaigns/{path_part(campaign)}"


def _say_state(campaign: CampaignOut) -> None:
    ends = f", ends {moment(campaign.ends_at)} at the latest" if campaign.ends_at and campaign.state == "running" else ""
    say(f"{campaign.id}: {campaign.state}{ends}")


def _ids(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        return file.read_text(encoding="utf-8-sig").split()
    except OSError as exc:
        raise CommandError(f"cannot read {file}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise CommandError(f"{file} is not UTF-8 text") from exc


def _body(values: dict[str, object]) -> CampaignIn:
    try:
        return CampaignIn.model_validate(values)
    except ValidationError as exc:
        raise CommandError(invalid.text(exc)) from exc


def _print_preview(preview: PreviewOut, *, as_json: bool) -> None:
    if as_json:
        print_model(preview)
        return
    print_facts(
        {
            "terminals": f"{preview.terminals_count}, {preview.online_count} of them online",
            "left out": preview.excluded_count,
            "package": size(preview.package_bytes),
            "takes": preview.remaining.text,
        }
    )
    _print_phases(preview.upgrade_phases, {})


def _print_progress(look: ProgressOut, *, as_json: bool) -> None:
    if as_json:
        print_model(look)
        return
    campaign = look.campaign
    remaining = look.remaining
    facts: dict[str, Cell] = {
        "campaign": f"{campaign.id} {campaign.name}",
        "state": campaign.state,
        "why": look.why,
        "installs": _installs(campaign.terms),
        "waiting": look.install_waits or None,
        "package": campaign.package,
        "started": campaign.started_at,
        "ends": campaign.ends_at,
        "settled": f"{look.settled_count} of {look.total_count}",
        "states": pairs(look.by_state),
        "places": f"{look.places_taken_count} of {look.places_count} taken",
        "bytes": f"{size(look.verified_bytes)} of {size(look.wanted_bytes)}",
        "data budget": f"{limits(look.budget)[0]} per second, {limits(look.budget)[1]} per day",
        "data today": used(look.budget),
        "remaining": remaining.text,
        **totals(look.transfers),
    }
    print_facts(facts)
    _print_phases(
        look.upgrade_phases, {name: f"{one.low_s:g} to {one.high_s:g} s ({one.count})" for name, one in look.measured.items()}
    )
    print_table(["state", "code", "upgrades"], [[one.state, one.code, one.count] for one in look.codes], empty="no failures")


def _installs(terms: dict[str, object]) -> str:
    """When staged upgrades may install, in a line."""
    hours = terms.get("install_window")
    parts: list[str] = []
    if isinstance(hours, dict):
        zone = "each terminal's own clock" if hours["zone"] == "terminal" else hours["zone"]
        parts.append(f"{hours['start']}-{hours['end']} {','.join(hours['days'])} ({zone})")
    if terms.get("install_on_release"):
        by = terms.get("install_released_by")
        parts.append(f"released by {by}" if by else "once an operator releases them")
    return "; ".join(parts) or "at once"


def _print_phases(phases: dict[str, PhaseEstimateOut], measured: dict[str, str]) -> None:
    rows: list[list[Cell]] = [[name, one.text, one.basis, measured.get(name)] for name, one in phases.items()]
    print_table(["phase", "one upgrade takes", "basis", "measured"], rows)
