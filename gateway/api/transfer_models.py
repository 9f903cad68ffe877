"""Bodies about transfers: what they cost and how they went. Rates are bytes per second, delays milliseconds."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from gateway.api.shapes import Answer


class PauseOut(Answer):
    """All pauses of one cause together."""

    count: int
    total_s: float


class QuantilesOut(Answer):
    """Of `count` samples; each figure is within 4 % of the sample of that rank."""

    p10: float
    p50: float
    p90: float
    p95: float
    p99: float
    count: int


class CostOut(Answer):
    """Bytes and pauses."""

    useful_bytes: int = Field(description="Bytes of the package that arrived, each counted once.")
    sent_bytes: int = Field(description="Bytes of the package that were published, again or not.")
    resent_bytes: int = Field(description="Of these, bytes that had been published before.")
    overhead_bytes: int = Field(description="Headers and acks: bytes beside the package.")
    pauses: dict[str, PauseOut] = Field(
        description="By cause: `payment`, `budget`, `credit` (the terminal had no room), `silence` (nothing came back)."
    )


class TransferOut(CostOut):
    """One transfer of an upgrade; every new try makes another."""

    upgrade: str
    transfer: int
    started_at: datetime
    at: datetime = Field(description="When these figures were saved last.")
    ended: str = Field(description="The state that the upgrade left to; empty while the transfer is open.")
    chunks_count: int
    acks_count: int
    probes_count: int = Field(description="Chunks sent again only to see whether the terminal is there.")
    connections_count: int = Field(description="Bulk connections that it went through.")
    goodput_bps: QuantilesOut | None = Field(
        description="Bytes per second, over time neither idle nor paused; null before it was measured."
    )
    delay_ms: QuantilesOut | None = Field(
        description="Milliseconds that chunks queued on the link, beyond its own delay; null before it was measured."
    )


class TransferTotalsOut(CostOut):
    """All transfers of a campaign together."""

    transfers_count: int
    wasted_ratio: float = Field(description="Share of the bytes sent that had been sent before.")
    goodput_p50_bps: float | None = Field(description="Bytes per second: the median over its transfers of each one's median.")
    delay_p95_ms: float | None = Field(description="Milliseconds: 95 % of its transfers kept 95 % of their chunks below this.")
