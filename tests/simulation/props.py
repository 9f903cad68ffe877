"""What the simulation is played with: keys, packages lawful and unlawful, and the terms of its campaign."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from random import Random
from typing import Final

from gateway.core.plan import Plan, Target
from gateway.core.readiness import Need
from gateway.core.states import UpgradeState
from gateway.trust.keys import KeyRing, key_id, public_of
from gateway.trust.manifest import Manifest, encode, sign_manifest
from gateway.trust.signed import sign
from gateway.wire.codec import encode as encode_message
from gateway.wire.codes import Component
from gateway.wire.messages import SEGMENT_BYTES, Signed

ORDER_KEY, PUBLISHER_KEY, STRANGER_KEY = b"\1" * 32, b"\2" * 32, b"\3" * 32
ORDERS, PUBLISHERS = KeyRing([public_of(ORDER_KEY)]), KeyRing([public_of(PUBLISHER_KEY)])
START: Final = 1_750_000_000.0
HOUR_S: Final = 3600.0
MODELS: Final = ("lakala-4g-esign", "shengpay-4g-esign")
#: Two segments, the second one short: each chunk costs time, and what can go wrong between two goes wrong here.
SIZE_BYTES: Final = SEGMENT_BYTES + 24 * 1024 + 500
#: Release counters below this were forbidden at the factory.
FLOOR: Final = 5
#: Deadlines as a hasty campaign would set them, so that a story of a silent terminal ends within the day.
DEADLINES_S: Final = {
    UpgradeState.OFFERED: 2 * HOUR_S,
    UpgradeState.PREPARING: 2 * HOUR_S,
    UpgradeState.READY: 600.0,
    UpgradeState.TRANSFERRING: HOUR_S,
    UpgradeState.INSTALLING: HOUR_S,
    UpgradeState.VERIFYING: HOUR_S,
    UpgradeState.SOAKING: 2 * HOUR_S,
    UpgradeState.ROLLING_BACK: 2 * HOUR_S,
}
ENDS_S: Final = 10 * HOUR_S
HORIZON_S: Final = 24 * HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A package, and whether a terminal of the simulation may install it: known from how it was made, not from any check."""

    name: str
    version: str
    payload: bytes
    segments: tuple[bytes, ...]
    lawful: bool
    plan: Plan


def _release(
    name: str, *, version: str = "2.0.0", counter: int = 7, models: tuple[str, ...] = MODELS, forged: bool = False
) -> Release:
    payload = Random(version).randbytes(SIZE_BYTES)
    segments = tuple(hashlib.sha256(payload[at : at + SEGMENT_BYTES]).digest() for at in range(0, SIZE_BYTES, SEGMENT_BYTES))
    manifest = Manifest(
        component=Component.APP,
        version=version,
        counter=counter,
        models=models,
        size_bytes=SIZE_BYTES,
        sha256=hashlib.sha256(payload).digest(),
        segments=segments,
        battery_min_pct=30,
        storage_min_bytes=1_000_000,
    )
    blob = sign_manifest(manifest, PUBLISHER_KEY)
    if forged:
        stranger = sign("manifest", encode(manifest), STRANGER_KEY)
        claimed = key_id(public_of(PUBLISHER_KEY))
        blob = encode_message(Signed(body=stranger.body, signature=stranger.signature, key=claimed))
    target = Target(
        package=name, component="app", version=version, size_bytes=SIZE_BYTES, sha256=manifest.sha256, manifest=blob
    )
    plan = Plan(
        campaign=f"c-{name}",
        target=target,
        need=Need(battery_min_pct=30, storage_min_bytes=1_000_000),
        ask_merchant=True,
        soak_s=120.0,
        health_every_s=50.0,
        boot_budget_s=300.0,
        ends_at=START + ENDS_S,
        recheck_s=120.0,
        retry_scale=0.5,
        deadlines_s=DEADLINES_S,
    )
    return Release(name=name, version=version, payload=payload, segments=segments, lawful=name == "good", plan=plan)


RELEASES: Final = {
    release.name: release
    for release in (
        _release("good"),
        _release("forged", forged=True),
        _release("foreign", models=("verifone-4g",)),
        _release("withdrawn", version="1.5.0", counter=FLOOR - 2),
        _release("outdated", version="0.9.0", counter=9),
    )
}
BY_MANIFEST: Final = {release.plan.target.manifest: release for release in RELEASES.values()}
