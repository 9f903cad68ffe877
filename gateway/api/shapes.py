"""What all bodies share: how requests are checked, how answers are laid out, how time and pages look on the outside.

Times are RFC 3339 in UTC and end in ``_at``; durations end in ``_s``, sizes in ``_bytes``, shares in ``_ratio`` or
``_pct``. Requests refuse unknown fields, so that a misspelt one is never silently ignored; answers may grow new ones.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
LABEL_KEY_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
"""The id of a terminal, package, campaign, upgrade or order."""
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
LabelKey = Annotated[str, StringConstraints(pattern=LABEL_KEY_PATTERN)]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=32)]
Name = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,128}$", strip_whitespace=True)]
Versions = Annotated[dict[Annotated[str, StringConstraints(pattern=r"^(os|kernel|app|params)$")], Name], Field(max_length=4)]


class Ask(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Answer(BaseModel):
    """An answer's body, or a part of one."""

    model_config = ConfigDict(extra="ignore", frozen=True)


Item = TypeVar("Item", bound=Answer)


class Page(Answer, Generic[Item]):
    """A stretch of a listing."""

    items: list[Item]
    next: str | None = Field(default=None, description="Cursor of the next page; pass it as `cursor`. Null on the last page.")


class EntryOut(Answer):
    """One ledger entry: what happened, when, to whom, by whom and why."""

    seq: int = Field(description="Number of the entry; rises, and is never given twice.")
    at: datetime
    terminal: str
    campaign: str
    upgrade: str
    actor: str = Field(description="`terminal`, `gateway`, `campaign` or `operator:<name>`.")
    what: str = Field(description="The report, trigger or request that this entry records.")
    from_state: str
    to_state: str
    code: str = Field(description="Why; `ok` or empty when nothing went wrong.")
    evidence: dict[str, object] = Field(default_factory=dict)


def moment(us: int) -> datetime:
    """Microseconds of Unix time as an instant, to the millisecond."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000 // 1000 * 1000)


def moment_or_none(us: int | None) -> datetime | None:
    """``None`` for what has not happened, stored as nothing or 0."""
    return moment(us) if us else None
