"""A campaign's stored terms as the core takes them: its ``Plan`` and its ``Rollout``.

``services.terms`` has checked the settings before they were stored. The engine acts by what is read here, and services say by
the same what it will do.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.core.budgets import Limit
from gateway.core.pace import Rollout
from gateway.core.plan import Plan, Target
from gateway.core.readiness import Need
from gateway.core.staging import need_s, staging_of
from gateway.core.states import UpgradeState
from gateway.store.campaigns import CampaignRow
from gateway.store.packages import PackageRow
from gateway.trust.manifest import Manifest

#: Campaigns without an end of their own end after this long (seconds).
DEFAULT_DURATION_S: Final = 30 * 86_400.0


def plan_of(row: CampaignRow, package: PackageRow, manifest: Manifest) -> Plan:
    """A campaign's terms for each of its upgrades; ``KeyError``, ``TypeError`` or ``ValueError`` when its row is damaged."""
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
