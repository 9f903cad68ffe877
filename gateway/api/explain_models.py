"""The body that says why an upgrade stands where it stands."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from gateway.api.shapes import Answer


class SentOut(Answer):
    """The newest order of the upgrade that went out to its terminal."""

    kind: str
    order: str
    times: int = Field(description="How often it has been sent.")
    at: datetime
    again_at: datetime | None = Field(
        description="Sent again from then on unless it is answered, at once when the terminal reconnects; null once answered."
    )


class ReportedOut(Answer):
    """The terminal's last word on the upgrade; its receipt went out once it was stored."""

    what: str
    code: str
    report: int | None = Field(description="Number of the report; null for the refusal of an order.")
    at: datetime


class AckedOut(Answer):
    """How far the transfer under way has come, as of the last stored progress."""

    verified_bytes: int
    package_bytes: int
    at: datetime


class AwaitedOut(Answer):
    """One thing that would move it on."""

    what: str = Field(description="What the terminal reports, or the gateway decides.")
    leads_to: str = Field(description="The state that follows.")


class NextOrderOut(Answer):
    """The order that the state calls for."""

    kind: str
    at: datetime = Field(description="Called for from then on; goes out while the terminal is online.")


class ThenOut(Answer):
    """What happens when the time is up."""

    state: str
    code: str
    attempt: int
    next_try_at: datetime | None = Field(description="About when it is tried again; null when it is not.")


class ExplanationOut(Answer):
    """Why one upgrade stands where it stands."""

    id: str
    campaign: str
    terminal: str
    state: str
    state_since_at: datetime
    attempt: int
    code: str
    online: bool
    seen_at: datetime | None
    sent: SentOut | None = Field(description="Null before the first order.")
    reported: ReportedOut | None = Field(description="Null before the terminal's first word.")
    acked: AckedOut | None = Field(description="Null unless chunks are under way.")
    awaits: str = Field(description="What it waits for, in words; empty once it has ended.")
    awaited: list[AwaitedOut]
    order: NextOrderOut | None = Field(description="Null while the state calls for no order.")
    until: datetime | None = Field(description="How long; null when it may wait for ever.")
    then: ThenOut | None = Field(description="What happens at `until` if nothing else comes before.")
    then_text: str
    holds_up: list[str] = Field(description="What keeps it from going on now.")
