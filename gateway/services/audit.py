"""Verifies the ledger while the gateway runs: its entries and seals, page by page through the auditors of ``trust``.

Holds one page, the seals, and what was found; lets others read between two pages. What is appended meanwhile is left for the
next time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from gateway.store import audit, ledger, seals
from gateway.store.database import Source
from gateway.trust.audit import Audit, Finding
from gateway.trust.keys import KeyRing
from gateway.trust.seal_audit import SealAudit
from gateway.trust.seals import Seal

#: Entries judged between two messages about how far it has come.
PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """How far it has come."""

    entry_count: int
    total_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The end of an audit."""

    entry_count: int
    seal_count: int
    finding_count: int
    unsealed_count: int
    """Entries that were looked at and that no seal covers yet."""
    stopped: bool
    """It found as much as it can hold (``trust.audit.FINDINGS_MAX``) and did not look further."""
    newest_seal: Seal | None


async def verify(
    db: Source, ring: KeyRing, *, first_day: str = "", last_day: str = ""
) -> AsyncGenerator[Looked | Finding | Verdict, None]:
    """Look at the whole ledger, or at the seals of these days with what they cover (see ``services.days``).

    ``ring`` holds the keys that may have sealed. Without a last day, or when no later day is sealed yet, it goes to the end.

    Raises:
        StoreError: the store cannot be read (any more); then there is no ``Verdict``.
    """
    newest_seq = await ledger.last_seq(db)
    known = await seals.since(db, first_day)
    before = known[0].seal if known and first_day and known[0].seal.day < first_day else None
    after = [one for one in known if one.seal is not before]
    # By number: a clock that was ahead or behind for a while has left days in no order.
    last_number = max((one.seal.number for one in after if not last_day or one.seal.day <= last_day), default=0)
    asked = [one for one in after if one.seal.number <= last_number]
    cut = len(asked) < len(after)
    begin_seq = before.last_seq if before is not None else 0
    end_seq = (asked[-1].seal.last_seq if asked else begin_seq) if cut else newest_seq

    entries, sealed = Audit(begin_seq + 1), SealAudit(ring, asked, before=before)
    findings = 0
    place = begin_seq if before is not None else audit.FIRST
    while not entries.full and (links := await audit.links(db, after_seq=place, last_seq=end_seq, limit=PAGE)):
        for link in links:
            for finding in (*entries.take(link), *sealed.take(link.seq, link.hash)):
                findings += 1
                yield finding
        place = links[-1].seq
        yield Looked(entry_count=entries.entry_count, total_count=max(entries.entry_count, end_seq - begin_seq))

    stopped = entries.full
    if not stopped:
        for finding in (*entries.end(() if cut else await audit.lost_heads(db)), *sealed.end()):
            findings += 1
            yield finding
    covered = sum(one.seal.entry_count for one in asked)
    yield Verdict(
        entry_count=entries.entry_count,
        seal_count=len(asked),
        finding_count=findings,
        unsealed_count=max(0, entries.entry_count - covered),
        stopped=stopped,
        newest_seal=asked[-1].seal if asked else before,
    )
