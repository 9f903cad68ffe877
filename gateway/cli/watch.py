"""A campaign live: bars by wave, states, the estimate, the last failures; on a terminal as a picture, in a pipe as lines.

Looks at the campaign every so often; what failed is asked for only when the counts say that something did. A gateway that is
away is waited for: the picture says so and goes on where it was.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.api.campaign_models import ProgressOut, WaveOut
from gateway.api.upgrade_models import UpgradeOut
from gateway.cli.client import Client
from gateway.cli.failures import DONE, ENDED_BADLY, CommandError, one_line
from gateway.cli.output import cell, console, moment, pairs, size

FAILURES_SHOWN: Final = 6
BAR_WIDTH: Final = 40
_SETTLED: Final = frozenset({"succeeded", "rejected", "failed", "rolled_back", "expired", "cancelled"})
_BAD: Final = ("failed", "rolled_back", "rejected", "expired")

Draw = Callable[[ProgressOut, Sequence[UpgradeOut], str], None]
"""Shows one look, the last failures, and what is wrong with the gateway."""


def watch(client: Client, campaign: str, *, every_s: float) -> int:
    """Follow ``campaign`` until it is over; the exit code (see ``failures``)."""
    if not sys.stdout.isatty():
        return _follow(client, campaign, _lines(), every_s=every_s)
    with Live(console=console(), auto_refresh=False) as live:

        def draw(look: ProgressOut, failures: Sequence[UpgradeOut], trouble: str) -> None:
            live.update(_picture(look, failures, trouble), refresh=True)

        return _follow(client, campaign, draw, every_s=every_s)


def _follow(client: Client, campaign: str, draw: Draw, *, every_s: float) -> int:
    path = f"/api/v1/campaigns/{campaign}"
    look = client.get(f"{path}/progress", ProgressOut)  # what does not exist, or does not answer now, is refused here
    failures: list[UpgradeOut] = []
    bad_count = 0
    while True:
        trouble = ""
        try:
            look = client.get(f"{path}/progress", ProgressOut)
            now_bad = sum(look.by_state.get(state, 0) for state in _BAD)
            if now_bad != bad_count:
                failures, bad_count = _newest(client, path), now_bad
        except CommandError as exc:
            trouble = str(exc)
        draw(look, failures, trouble)
        ended = _ended(look)
        if ended is not None and not trouble:
            return ended
        time.sleep(every_s)


def _newest(client: Client, path: str) -> list[UpgradeOut]:
    """The upgrades that ended badly last."""
    found = client.pages(f"{path}/upgrades", UpgradeOut, {"state": _BAD})
    return sorted(found, key=lambda one: one.state_since_at)[-FAILURES_SHOWN:]


def _ended(look: ProgressOut) -> int | None:
    """The exit code once nothing moves any more without a person; upgrades of an aborted one may still go to their end."""
    campaign = look.campaign
    if campaign.state == "finished":
        return DONE
    return ENDED_BADLY if campaign.state == "aborted" or campaign.stopped_by_rule else None


def _picture(look: ProgressOut, failures: Sequence[UpgradeOut], trouble: str) -> Group:
    campaign, remaining = look.campaign, look.remaining
    bars = Table.grid(padding=(0, 2, 0, 0))
    for wave in look.waves:
        settled = sum(count for state, count in wave.by_state.items() if state in _SETTLED)
        bar = ProgressBar(total=max(1, wave.total_count), completed=settled, width=BAR_WIDTH)
        bars.add_row(wave.name, bar, f"{settled}/{wave.total_count}", _states(wave))
    places = f"{look.places_taken_count} of {look.places_count} places taken"
    over = f"; over by {moment(remaining.ends_latest_at)}" if remaining.high_s else ""
    lines: list[RenderableType] = [
        Text.assemble((campaign.name, "bold"), "  ", cell(campaign.state), f"  {campaign.id}  package {campaign.package}"),
        bars,
        Text(f"{size(look.verified_bytes)} of {size(look.wanted_bytes)} verified, {places}"),
        Text(f"remaining {remaining.text}{over}", style="bold"),
        Text(one_line(look.why), style="italic"),
        *([Text(one_line(look.install_waits))] if look.install_waits else []),
    ]
    lines += [Text(_failure(one), style="red") for one in failures]
    if trouble:
        lines.append(Text(one_line(trouble), style="yellow"))
    return Group(*lines)


def _states(wave: WaveOut) -> Text:
    parts: list[Text] = []
    for state, count in wave.by_state.items():
        parts += [Text(f"{count} "), cell(state), Text("  ")]
    return Text.assemble(*parts)


def _failure(one: UpgradeOut) -> str:
    return one_line(f"{moment(one.state_since_at)} {one.terminal} {one.state} {one.code} ({one.id})")


def _lines() -> Draw:
    """A line whenever something has changed, for logs and pipes."""
    last = ""

    def draw(look: ProgressOut, failures: Sequence[UpgradeOut], trouble: str) -> None:
        nonlocal last
        del failures
        text = trouble or f"{look.campaign.state} {look.settled_count}/{look.total_count} {pairs(look.by_state)} | {look.why}"
        if text != last:
            last = text
            remaining = "" if trouble else f" | remaining {look.remaining.text}"
            sys.stdout.write(f"{moment(look.at)} {one_line(text + remaining)}\n")
            sys.stdout.flush()

    return draw
