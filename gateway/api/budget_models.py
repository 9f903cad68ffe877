"""Bodies about budgets of bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from gateway.api.shapes import Answer, Ask

ScopeWord = Literal["terminal", "site", "campaign", "gateway"]


class BudgetIn(Ask):
    """What is to hold from now on. A part that is not given stays as it is; null gives it back to the settings or terms."""

    name: str = Field(
        default="",
        max_length=128,
        description="Of the terminal, site or campaign. Empty: the gateway, or all terminals or sites without their own.",
    )
    bytes_per_s: int | None = Field(default=None, ge=0, description="0 sets no limit; else at least 1024.")
    bytes_per_day: int | None = Field(default=None, ge=0, description="0 sets no limit; else at least 262144.")


class BudgetOut(Answer):
    """One budget in force. Bytes are those of chunks as published, repeated ones and envelopes included."""

    scope: ScopeWord
    name: str
    bytes_per_s: int = Field(description="0: no limit.")
    bytes_per_day: int = Field(description="0: no limit.")
    own: list[str] = Field(description="The parts that a person has set; the others follow from settings or terms.")
    set_at: datetime | None
    set_by: str
    used_bytes: int = Field(description="Today, as of a few seconds ago; a segment counts as soon as its first chunk goes.")
    day_ends_at: datetime
