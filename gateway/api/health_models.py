"""Bodies about the gateway itself."""

from __future__ import annotations

from pydantic import Field

from gateway.api.shapes import Answer


class AliveOut(Answer):
    """The process answers."""

    status: str = Field(description="Always `ok`.")


class StatsOut(Answer):
    """Totals since the start, by name; gauges such as `sessions` among them."""

    counters: dict[str, int]
