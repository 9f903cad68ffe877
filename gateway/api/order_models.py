"""Bodies about orders that are not part of an upgrade."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from gateway.api.shapes import Answer, Ask


class OrderIn(Ask):
    """An order for one terminal."""

    kind: str = Field(min_length=1, max_length=64, description="`reboot` or `inspect`.")
    expires_s: float | None = Field(
        default=None,
        description="How long it waits for a terminal that is away: 10 s to 7 days, 1 hour when nothing is said.",
    )


class OrderOut(Answer):
    """One order and what came of it."""

    id: str
    terminal: str
    kind: str
    status: str = Field(description="`pending`, `sent`, `done`, `refused`, `failed` or `expired`.")
    code: str = Field(description="Why it was refused or failed.")
    result: dict[str, object] = Field(description="What the terminal answered.")
    created_at: datetime
    created_by: str
    expires_at: datetime
    updated_at: datetime
