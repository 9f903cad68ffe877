"""What the ledger's audit says, a line of JSON for each of these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from gateway.api.shapes import Answer


class LookedOut(Answer):
    """How far it has come."""

    kind: Literal["looked"] = "looked"
    entry_count: int
    total_count: int


class FindingOut(Answer):
    """Something that is wrong."""

    kind: Literal["finding"] = "finding"
    what: str = Field(description="`changed`, `missing`, `inserted`, `unproven`, `head` or `seal`.")
    number: int = Field(description="Of the entry; of the seal when `what` is `seal`.")
    last: int = Field(description="The last number of a stretch, else `number`.")
    terminal: str
    text: str = Field(description="One line for people.")


class SealOut(Answer):
    """A day under the gateway's signature."""

    number: int
    day: str
    sealed_at: datetime
    first_seq: int
    last_seq: int
    hash: str = Field(description="SHA-256 in hex. Noted elsewhere, it proves everything up to this seal.")


class VerdictOut(Answer):
    """The last line: without it the audit did not come to its end."""

    kind: Literal["verdict"] = "verdict"
    entry_count: int
    seal_count: int
    finding_count: int
    unsealed_count: int = Field(description="Entries that no seal covers yet: those since the last midnight in UTC.")
    stopped: bool = Field(description="It found so much that it did not look further.")
    newest_seal: SealOut | None


AuditLine = Annotated[LookedOut | FindingOut | VerdictOut, Field(discriminator="kind")]
