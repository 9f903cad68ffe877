"""Builders for tests of the simulated terminal: keys, package bytes, manifests, identities and arguments of orders."""

from __future__ import annotations

import hashlib
from random import Random

from device_sim.options import Identity
from gateway.trust.keys import KeyRing, new_private_key, public_of
from gateway.trust.manifest import Manifest, sign_manifest
from gateway.wire.codes import Code, Component, OrderKind
from gateway.wire.messages import SEGMENT_BYTES, Plain

MODEL = "lakala-4g-esign"
ORDER_KEY = new_private_key()
PUBLISHER_KEY = new_private_key()
DAY_MS = 86_400_000


def payload_of(size: int, seed: int = 1) -> bytes:
    """Package bytes that repeat nothing."""
    return Random(seed).randbytes(size)


def manifest_of(payload: bytes, **changes: object) -> Manifest:
    """A manifest for a payload."""
    fields: dict[str, object] = {
        "component": Component.APP,
        "version": "2.0.0",
        "counter": 7,
        "models": (MODEL,),
        "size_bytes": len(payload),
        "sha256": hashlib.sha256(payload).digest(),
        "segments": tuple(
            hashlib.sha256(payload[at : at + SEGMENT_BYTES]).digest() for at in range(0, len(payload), SEGMENT_BYTES)
        ),
        "battery_min_pct": 30,
        "storage_min_bytes": 1_000_000,
    }
    return Manifest(**(fields | changes))  # type: ignore[arg-type]  # the caller gives the right types


def identity_of(name: str = "t1") -> Identity:
    """A terminal that believes the play's keys."""
    return Identity(id=name, orders=KeyRing([public_of(ORDER_KEY)]), publishers=KeyRing([public_of(PUBLISHER_KEY)]))


def order_args(
    kind: OrderKind, upgrade: str, manifest: Manifest, *, ask: bool, transfer: int, install: tuple[float, float, float]
) -> dict[str, Plain]:
    """What an order of an upgrade carries; ``install`` is soak, health interval and boot budget."""
    match kind:
        case OrderKind.UPGRADE_OFFER:
            return {"u": upgrade, "m": sign_manifest(manifest, PUBLISHER_KEY), "ask": ask, "est": {}, "end_ms": 2**50}
        case OrderKind.UPGRADE_TRANSFER:
            return {"u": upgrade, "x": transfer, "size": manifest.size_bytes, "sha256": manifest.sha256}
        case OrderKind.UPGRADE_INSTALL:
            soak_s, health_every_s, boot_budget_s = install
            return {"u": upgrade, "soak_s": soak_s, "health_every_s": health_every_s, "boot_budget_s": boot_budget_s}
        case OrderKind.UPGRADE_ROLLBACK | OrderKind.UPGRADE_CANCEL:
            return {"u": upgrade, "code": Code.CANCELLED_BY_OPERATOR.value}
        case _:
            return {"u": upgrade}
