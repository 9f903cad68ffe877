"""What the stories are told with: keys, a package, the air between, and a terminal with its connections."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from device_sim.terminal import Terminal as Device
from gateway.core.plan import Plan, Target
from gateway.core.readiness import Need
from gateway.trust.keys import KeyRing, public_of
from gateway.trust.manifest import Manifest, sign_manifest
from gateway.wire.codes import Component
from gateway.wire.messages import SEGMENT_BYTES

ORDER_KEY, PUBLISHER_KEY = b"\1" * 32, b"\2" * 32
ORDERS, PUBLISHERS = KeyRing([public_of(ORDER_KEY)]), KeyRing([public_of(PUBLISHER_KEY)])
START = 1_750_000_000.0
DAY_S = 86_400.0


def package(size_bytes: int, version: str = "2.0.0") -> tuple[bytes, Manifest, bytes]:
    """A payload, its manifest and the signed manifest."""
    payload = (hashlib.sha256(version.encode()).digest() * (size_bytes // 32 + 1))[:size_bytes]
    payload = bytes((byte + at // 4096) & 255 for at, byte in enumerate(payload))
    manifest = Manifest(
        component=Component.APP,
        version=version,
        counter=7,
        models=("lakala-4g-esign", "shengpay-4g-esign"),
        size_bytes=size_bytes,
        sha256=hashlib.sha256(payload).digest(),
        segments=tuple(hashlib.sha256(payload[at : at + SEGMENT_BYTES]).digest() for at in range(0, size_bytes, SEGMENT_BYTES)),
        battery_min_pct=30,
        storage_min_bytes=1_000_000,
    )
    return payload, manifest, sign_manifest(manifest, PUBLISHER_KEY)


PAYLOAD, MANIFEST, BLOB = package(3 * SEGMENT_BYTES + 5000)

PLAN = Plan(
    campaign="c",
    target=Target(
        package="p",
        component="app",
        version="2.0.0",
        size_bytes=MANIFEST.size_bytes,
        sha256=MANIFEST.sha256,
        manifest=BLOB,
    ),
    need=Need(battery_min_pct=30, storage_min_bytes=1_000_000),
    ask_merchant=True,
    soak_s=900.0,
    health_every_s=300.0,
    boot_budget_s=600.0,
    ends_at=START + DAY_S,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Air:
    """What the network does between a terminal and the gateway."""

    delay_s: float = 0.05
    rate_bps: float = 200_000.0
    """Bytes per second of the bulk connection, down."""
    lose_chunk: float = 0.0
    lose_ack: float = 0.0
    lose_control: float = 0.0
    """QoS 1 messages lost with the broker's queue."""
    duplicate: float = 0.0
    breaks_per_h: float = 0.0
    """Both connections of a terminal break."""
    bulk_breaks_per_h: float = 0.0
    gateway_kills: tuple[float, ...] = ()
    """Seconds after the start at which the gateway dies with all that was not committed."""


@dataclass(slots=True)
class Node:
    """A terminal and its two connections."""

    device: Device
    control: int = 0
    """Number of the present control connection, 0 while there is none."""
    bulk: int = 0
    asked_control: int = 0
    asked_bulk: int = 0
    down_free_at: float = 0.0
    queued_bytes: dict[int, int] = field(default_factory=dict)
    """Chunks on the way, by connection."""
    queued_max: int = 0
    wake_at: float | None = None

    def behind(self, size_bytes: int, now: float, air: Air) -> float:
        """When ``size_bytes`` more arrive: behind all that is on the bearer already."""
        self.down_free_at = max(self.down_free_at, now) + size_bytes / air.rate_bps
        return self.down_free_at + air.delay_s

    def queue(self, connection: int, size_bytes: int) -> None:
        """A chunk was sent on ``connection``, or (negative) has arrived; 0 is none, and keeps nothing."""
        if not connection:
            return
        self.queued_bytes[connection] = self.queued_bytes.get(connection, 0) + size_bytes
        self.queued_max = max(self.queued_max, self.queued_bytes[connection])
