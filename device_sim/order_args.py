"""Arguments of the upgrade orders, one dataclass per kind (docs/protocol.md, "Orders"). Anything else is refused as a whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.trust.manifest import HASH_BYTES, MAX_MANIFEST_BYTES
from gateway.wire.codes import Code, OrderKind
from gateway.wire.fields import MAX_INTEGER, Field, Table, binary, flag, identifier, integer, plain, word
from gateway.wire.messages import Order, PlainMap


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferArgs:
    """``upgrade.offer``."""

    upgrade: str
    manifest: bytes
    ask: bool
    estimate: PlainMap
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepArgs:
    """``upgrade.prepare``, ``upgrade.commit``."""

    upgrade: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferArgs:
    """``upgrade.transfer``."""

    upgrade: str
    transfer: int
    size_bytes: int
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallArgs:
    """``upgrade.install``."""

    upgrade: str
    soak_s: float
    health_every_s: float
    boot_budget_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EndArgs:
    """``upgrade.rollback``, ``upgrade.cancel``."""

    upgrade: str
    code: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldArgs:
    """``upgrade.hold``."""

    upgrade: str
    until_ms: int
    code: Code


UpgradeArgs = OfferArgs | StepArgs | TransferArgs | InstallArgs | EndArgs | HoldArgs


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError("expected seconds, at least 0")
    return float(value)


_UPGRADE: Final = Field("u", "upgrade", identifier)
_STEP: Final = Table(StepArgs, _UPGRADE)
_END: Final = Table(EndArgs, _UPGRADE, Field("code", "code", word(Code)))
_HOLD: Final = Table(
    HoldArgs, _UPGRADE, Field("until_ms", "until_ms", integer(0, MAX_INTEGER)), Field("code", "code", word(Code))
)
_OFFER: Final = Table(
    OfferArgs,
    _UPGRADE,
    Field("m", "manifest", binary(MAX_MANIFEST_BYTES, least=1)),
    Field("ask", "ask", flag),
    Field("est", "estimate", plain),
    Field("end_ms", "end_ms", integer(0, MAX_INTEGER)),
)
_TRANSFER: Final = Table(
    TransferArgs,
    _UPGRADE,
    Field("x", "transfer", integer(1, MAX_INTEGER)),
    Field("size", "size_bytes", integer(1, MAX_INTEGER)),
    Field("sha256", "sha256", binary(HASH_BYTES, least=HASH_BYTES)),
)
_INSTALL: Final = Table(
    InstallArgs,
    _UPGRADE,
    Field("soak_s", "soak_s", _seconds),
    Field("health_every_s", "health_every_s", _seconds),
    Field("boot_budget_s", "boot_budget_s", _seconds),
)


def read_args(order: Order) -> UpgradeArgs | None:
    """The arguments of an upgrade order; ``None`` when the order is of another kind.

    Raises:
        ValueError: they are not as the protocol says.
    """
    args: Mapping[str, object] = dict(order.args)
    match order.kind:
        case OrderKind.UPGRADE_OFFER:
            return _OFFER.read(args)
        case OrderKind.UPGRADE_PREPARE | OrderKind.UPGRADE_COMMIT:
            return _STEP.read(args)
        case OrderKind.UPGRADE_TRANSFER:
            return _TRANSFER.read(args)
        case OrderKind.UPGRADE_INSTALL:
            return _INSTALL.read(args)
        case OrderKind.UPGRADE_ROLLBACK | OrderKind.UPGRADE_CANCEL:
            return _END.read(args)
        case OrderKind.UPGRADE_HOLD:
            return _HOLD.read(args)
        case _:
            return None
