"""What both sides say when it is over: each terminal's own account, and the gateway's upgrades with their history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gateway.api.campaign_models import ProgressOut
from gateway.api.upgrade_models import UpgradeDetailOut, UpgradeOut
from gateway.cli.client import Client


class OwnReport(BaseModel):
    """A report as the terminal journalled it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    upgrade: str
    seq: int
    what: str
    code: str


class Own(BaseModel):
    """A terminal's own account (``tillgate-sim run --state``)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    model: str
    on: bool
    epoch: int
    power_cuts: int
    battery_pct: int
    received_bytes: int
    """Package bytes that came over the air."""
    useful_bytes: int
    """Of these, bytes that it did not hold when they came."""
    repeated_bytes: int
    """Of these, bytes of segments that were verified and durable already."""
    versions: dict[str, str] = {}
    """What it runs; empty while it boots."""
    unreceipted: int = -1
    """Reports without a receipt; -1 while it boots."""
    reports: tuple[OwnReport, ...] = ()


def read_own(path: Path) -> dict[str, Own]:
    """The accounts in a file of JSON lines, by terminal."""
    return {own.id: own for own in map(Own.model_validate_json, path.read_text().splitlines())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """The gateway's end in the middle, and the moment around it."""

    at: datetime
    look: ProgressOut
    """The last look before."""
    moving: tuple[UpgradeOut, ...]
    """Upgrades whose transfer was under way."""
    own: dict[str, Own]
    """The terminals' accounts right after."""
    back_after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """All that is judged."""

    look: ProgressOut
    upgrades: dict[str, UpgradeDetailOut]
    """By terminal."""
    own: dict[str, Own]
    kill: Kill | None
    seconds: float
    """What the campaign took, by the gateway's clock."""


def upgrades_of(client: Client, campaign: str) -> dict[str, UpgradeDetailOut]:
    """The upgrades of a campaign with their history, by terminal."""
    found = list(client.pages(f"/api/v1/campaigns/{campaign}/upgrades", UpgradeOut))
    return {one.terminal: client.get(f"/api/v1/upgrades/{one.id}", UpgradeDetailOut) for one in found}
