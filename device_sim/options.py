"""What differs between two terminals of one model: who they are, their shop, merchant, battery and starting state.

All of it comes from the scenario (or a test) and never changes while the terminal lives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.trust.keys import KeyRing

Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a terminal is, and whom it believes."""

    id: str
    orders: KeyRing
    """Keys of the gateway, for orders."""
    publishers: KeyRing
    """Keys of the publisher, for manifests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    """The person behind the counter."""

    answers: tuple[str, ...] = ("accept",)
    """In turn: ``accept``, ``postpone:SECONDS``, ``decline``, ``silent``; the last one is repeated."""
    delay_s: Span = (5.0, 60.0)
    """How long the terminal shows the question before it is answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Trading hours and payments."""

    open_min: int = 0
    """Minutes after local midnight."""
    close_min: int = 24 * 60
    utc_offset_min: int = 480
    time_zone: str = "Asia/Shanghai"
    payment_every_s: Span = (0.0, 0.0)
    """From card to card while the shop is open. Two that are equal: the mean of a random time; 0: none."""
    payments_from_s: float = 0.0
    """The first customer comes no earlier after the first boot; real seconds."""
    lead_s: Span = (5.0, 12.0)
    """From the card or the amount to the request."""
    host_s: Span = (0.3, 1.5)
    """From the request's arrival at the host to its answer."""
    request_bytes: int = 600
    answer_bytes: int = 1200
    declined_p: float = 0.02
    """Share of payments that the issuer declines."""
    unsettled_count: int = 0
    """Transactions that wait for settlement at the first boot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """The battery at the first boot, and what people do with the charger."""

    start_pct: float = 85.0
    charging: bool = False
    plug_at_s: float | None = None
    """Seconds after the first boot at which the charger is plugged in."""
    plug_below_pct: float = 12.0
    """The merchant plugs it in when the terminal warns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything else."""

    components: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"os": "1.0.0", "app": "1.0.0"}))
    """Versions at the first boot."""
    floors: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"currency": "CNY", "merchant": "M000"}))
    merchant: Merchant = field(default_factory=Merchant)
    shop: Shop = field(default_factory=Shop)
    battery: Battery = field(default_factory=Battery)
    storage_used_bytes: int = 0
    speed: float = 1.0
    """Durations of the profile, the shop and the merchant are divided by this; those of the protocol never."""
    unix_base_ms: int = 1_750_000_000_000
    """Unix time at ``now`` = 0."""
    reconnect_base_s: float = 1.0
    reconnect_cap_s: float = 300.0
    connections: int = 2
    """1: it cannot open a bulk connection, and says so in its hello."""
    credit_bytes: int = 256 * 1024
    receive_buffer_bytes: int = 0
    """Of the bulk connection's socket; 0: what fits the link (``member.receive_bytes``)."""
    quiet_s: float = 0.3
    """Between the end of a payment and the release of its brake."""
    keep_payload: bool = True
    """Whether staged bytes are kept (shared between terminals) or only their checked hashes."""
