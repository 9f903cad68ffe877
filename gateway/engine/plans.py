"""Reads a campaign's stored terms into the core's ``Plan`` and ``Rollout``. A plan is fixed, so it is read once and shared."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.budgets import Limit
from gateway.core.pace import Rollout
from gateway.core.plan import Plan, Target
from gateway.core.readiness import Need
from gateway.core.staging import need_s, staging_of
from gateway.core.states import UpgradeState
from gateway.errors import StoreError, TrustError, WireError
from gateway.store import campaigns, packages
from gateway.store.campaigns import CampaignRow
from gateway.store.database import Database
from gateway.store.packages import PackageRow
from gateway.trust.keys import KeyRing
from gateway.trust.manifest import Manifest, decode, open_manifest
from gateway.wire.codec import decode_signed

#: Campaigns without an end of their own end after this long (seconds).
DEFAULT_DURATION_S: Final = 30 * 86_400.0
PLANS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class _Terms:
    plan: Plan
    manifest: Manifest
    doubt: TrustError | None
    """Why the package is not believed any more, although it was when it came in."""


class Plans:
    """Plans by campaign id, the most recently used ones kept."""

    def __init__(self, db: Database, ring: KeyRing) -> None:
        self._db = db
        self._ring = ring
        self._kept: OrderedDict[str, _Terms] = OrderedDict()

    async def of(self, campaign: str) -> Plan:
        """The plan of a campaign; ``StoreError`` when its rows are gone.

        It holds for upgrades under way even when the package's publisher is believed no more: they must come to an end.
        """
        return (await self._terms(campaign)).plan

    async def manifest_of(self, campaign: str) -> Manifest:
        """What the campaign's package demands of a terminal; ``TrustError`` when it is not believed: nothing may start then."""
        terms = await self._terms(campaign)
        if terms.doubt is not None:
            raise TrustError(terms.doubt.message, code=terms.doubt.code)
        return terms.manifest

    async def _terms(self, campaign: str) -> _Terms:
        found = self._kept.get(campaign)
        if found is None:
            row = await campaigns.get(self._db, campaign)
            package = await packages.get(self._db, row.package) if row is not None else None
            if row is None or package is None:
                raise StoreError(f"campaign {campaign} or its package is not in the store", campaign=campaign)
            try:
                manifest, doubt = self._read(package.manifest)
                plan = plan_of(row, package, manifest)
            except (KeyError, TypeError, ValueError, WireError, TrustError) as exc:
                raise StoreError(f"campaign {campaign} or its package is damaged: {exc!r}", code="campaign_damaged") from exc
            found = self._kept[campaign] = _Terms(plan, manifest, doubt)
            if len(self._kept) > PLANS_MAX:
                self._kept.popitem(last=False)
        self._kept.move_to_end(campaign)
        return found

    def _read(self, blob: bytes) -> tuple[Manifest, TrustError | None]:
        try:
            return open_manifest(blob, self._ring), None
        except TrustError as exc:
            return decode(decode_signed(blob).body), exc.with_traceback(None)


def plan_of(row: CampaignRow, package: PackageRow, manifest: Manifest) -> Plan:
    """The terms of a campaign. ``services.campaigns`` has checked the settings before they were stored."""
    given: dict[str, Any] = dict(row.settings)
    started = (row.started_us or row.created_us) / 1e6
    optional: dict[str, Any] = {
        key: given[key] for key in ("attempts_max", "recheck_s", "retry_scale", "progress_every_s") if key in given
    }
    if "first_chunk_kib" in given:
        optional["first_chunk_blocks"] = given["first_chunk_kib"]
    deadlines = {UpgradeState(state): float(seconds) for state, seconds in given.get("deadlines_s", {}).items()}
    return Plan(
        campaign=row.id,
        target=Target(
            package=package.id,
            component=manifest.component.value,
            version=manifest.version,
            size_bytes=manifest.size_bytes,
            sha256=manifest.sha256,
            manifest=package.manifest,
        ),
        need=Need(battery_min_pct=manifest.battery_min_pct, storage_min_bytes=manifest.storage_min_bytes),
        ask_merchant=given["ask_merchant"],
        soak_s=float(given["soak_s"]),
        health_every_s=float(given["health_every_s"]),
        boot_budget_s=float(given["boot_budget_s"]),
        ends_at=row.ends_us / 1e6 if row.ends_us else started + DEFAULT_DURATION_S,
        deadlines_s=deadlines,
        staging=staging_of(given, need_s(manifest.size_bytes, manifest.models)),
        limit=Limit(bytes_per_s=given.get("bytes_per_s", 0), bytes_per_day=given.get("bytes_per_day", 0)),
        **optional,
    )


def rollout_of(row: CampaignRow) -> Rollout:
    """The pace and stop rules of a campaign."""
    given = row.settings
    return Rollout(
        canary_count=given["canary_count"],
        canary_needed=given["canary_needed"],
        max_active=given["max_active"],
        failure_ratio=given["failure_ratio"],
        failure_min=given["failure_min"],
        gate=given["gate"],
        forgiven_count=given.get("forgiven_count", 0),
        canary_waived=given.get("canary_waived", False),
    )
