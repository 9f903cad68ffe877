"""The dossier: all that the terminal knows of its current upgrade, journalled with every change, and its reports.

Parts of the firmware move an upgrade only through ``enter``, ``claim`` and ``report`` here. One dossier is open at a time;
of closed ones the report counter stays known, so that no report number is ever used twice for one upgrade.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from device_sim.board import Board
from device_sim.orders import OrderBook
from device_sim.outbox import Outbox
from gateway.errors import TrustError
from gateway.trust.manifest import Manifest, open_manifest
from gateway.wire.codec import MAX_HAVE_RANGES, MAX_PAYLOAD_BYTES, decode, encode
from gateway.wire.codes import Code, Phase, What
from gateway.wire.fields import MAX_INTEGER, U32, Field, Table, binary, flag, identifier, integer, plain, text, word
from gateway.wire.messages import OpenUpgrade, Plain, PlainMap, Report
from gateway.wire.ranges import RangeSet

STAGE: Final = "stage"  # the flash area of verified segments
PAST_COUNT: Final = 8
#: Phases in which nothing of the spare slot matters yet.
EARLY: Final = frozenset(
    {Phase.OFFERED, Phase.ACCEPTED, Phase.POSTPONED, Phase.PREPARING, Phase.READY, Phase.TRANSFERRING, Phase.STAGED}
)


@dataclass(slots=True, kw_only=True)
class Record:
    """What is journalled of the current upgrade, beside its manifest and its segments."""

    id: str
    phase: Phase
    seq: int = 0
    order: str = ""
    """The order that is being carried out."""
    last: bytes = b""
    """The newest report that was not of health, encoded."""
    transfer: int = 0
    received_bytes: int = 0
    wasted_bytes: int = 0
    soak_ms: int = 0
    health_every_ms: int = 0
    boot_budget_ms: int = 0
    health_count: int = 0
    ok_before: int = 0
    failed_before: int = 0
    restarts: int = 0
    lied: bool = False
    why: Code = Code.OK
    """Code of a roll-back under way."""
    evidence: PlainMap = field(default_factory=dict)


_COUNT: Final = integer(0, MAX_INTEGER)
_RECORD: Final = Table(
    Record,
    Field("u", "id", identifier),
    Field("p", "phase", word(Phase)),
    Field("q", "seq", integer(0, U32)),
    Field("o", "order", text(64)),
    Field("l", "last", binary(MAX_PAYLOAD_BYTES)),
    Field("x", "transfer", _COUNT),
    Field("rb", "received_bytes", _COUNT),
    Field("wb", "wasted_bytes", _COUNT),
    Field("so", "soak_ms", _COUNT),
    Field("he", "health_every_ms", _COUNT),
    Field("bb", "boot_budget_ms", _COUNT),
    Field("hc", "health_count", _COUNT),
    Field("ok", "ok_before", _COUNT),
    Field("fb", "failed_before", _COUNT),
    Field("rs", "restarts", _COUNT),
    Field("li", "lied", flag),
    Field("c", "why", word(Code)),
    Field("e", "evidence", plain),
)


class Dossier:
    """The current upgrade, if any."""

    __slots__ = ("_board", "_book", "_outbox", "have", "manifest", "record")

    def __init__(self, board: Board, outbox: Outbox, book: OrderBook) -> None:
        """Read what the journal holds."""
        self._board = board
        self._outbox = outbox
        self._book = book
        journal = board.journal
        saved = journal.get("up")
        self.record = _RECORD.read(saved) if saved is not None else None
        self.manifest = _believed(journal.blob("manifest"), board)
        self.have = RangeSet(pairs(journal.get("have")))
        if self.manifest is None and self.record is not None:
            self.enter(Phase.DONE)  # nothing can be proven of it any more

    @property
    def current(self) -> Record:
        """The record; only while there is one."""
        if self.record is None:
            raise AssertionError(self._board.identity.id)
        return self.record

    @property
    def package(self) -> Manifest:
        """The manifest; only while there is one."""
        if self.manifest is None:
            raise AssertionError(self._board.identity.id)
        return self.manifest

    @property
    def phase(self) -> Phase | None:
        """Where the upgrade stands; ``None`` when there never was one."""
        return None if self.record is None else self.record.phase

    def begin(self, upgrade: str, manifest: Manifest, blob: bytes, order: str) -> None:
        """Open a dossier; the one before it is closed for good."""
        seq = self._past().get(upgrade, 0)
        if self.record is not None and self.record.id != upgrade:
            self._remember(self.record.id, self.record.seq)
        elif self.record is not None:
            seq = self.record.seq
        if self.manifest is None or self.manifest.sha256 != manifest.sha256:
            self.forget_data()
        self.record = Record(id=upgrade, phase=Phase.OFFERED, seq=seq, order=order)
        self.manifest = manifest
        self._board.journal.set("manifest", blob)
        self.save()

    def enter(self, phase: Phase) -> None:
        """Move to a phase."""
        self.current.phase = phase
        self.save()

    def claim(self, segment: int) -> None:
        """A segment is verified and durable."""
        self.have.add(segment, segment + 1)
        self._board.journal.set("have", tuple(self.have))

    def forget_data(self) -> None:
        """Drop all staged segments."""
        if self.have:
            self._board.journal.drop("have")
            self.have = RangeSet()
            self._board.erase_later.add(STAGE)

    def save(self) -> None:
        """Journal the record."""
        self._board.journal.set("up", _RECORD.write(self.current))

    def report(self, what: What, now: float, *, code: Code = Code.OK, detail: PlainMap | None = None) -> None:
        """Report on the current upgrade: numbered, journalled, sent, and the answer to its newest order."""
        record = self.current
        record.seq += 1
        payload = self._make(record.id, record.seq, what, now, code, detail)
        health = what is What.HEALTH
        if not health:
            record.last = payload
            self._book.answer(record.order, "report", payload)
        self.save()
        self._outbox.add_report(record.id, record.seq, payload, now, health=health)

    def report_again(self, now: float) -> None:
        """The newest report under a new number: the answer to a new order that asks for what has happened already."""
        last = self.current.last
        if last:
            message = decode("report", last)
            if not isinstance(message, Report):
                raise AssertionError(message)
            self.report(message.what, now, code=message.code, detail=message.detail)

    def report_other(self, upgrade: str, order: str, code: Code, now: float) -> None:
        """Reject an upgrade that is not (and will not be) the current one."""
        seq = self._past().get(upgrade, 0) + 1
        self._remember(upgrade, seq)
        payload = self._make(upgrade, seq, What.REJECTED, now, code, None)
        self._book.answer(order, "report", payload)
        self._outbox.add_report(upgrade, seq, payload, now)

    def as_open(self) -> OpenUpgrade | None:
        """What hello says of it."""
        record = self.record
        if record is None:
            return None
        have = self.have.to_wire(MAX_HAVE_RANGES)
        return OpenUpgrade(id=record.id, phase=record.phase, transfer=record.transfer, have=have, seq=record.seq)

    def _make(self, upgrade: str, seq: int, what: What, now: float, code: Code, detail: PlainMap | None) -> bytes:
        at_ms = self._board.clock.raw_ms(now)
        message = Report(upgrade=upgrade, seq=seq, what=what, code=code, detail=detail or {}, at_ms=at_ms)
        self._board.tally.diary.append(message)
        return encode(message)

    def _past(self) -> dict[str, int]:
        found = self._board.journal.get("past")
        if not isinstance(found, dict):
            return {}
        return {str(upgrade): seq for upgrade, seq in found.items() if isinstance(seq, int)}

    def _remember(self, upgrade: str, seq: int) -> None:
        past: dict[str, Plain] = {**self._past()}
        past.pop(upgrade, None)
        past[upgrade] = seq
        while len(past) > PAST_COUNT:
            del past[next(iter(past))]
        self._board.journal.set("past", past)


def _believed(blob: bytes, board: Board) -> Manifest | None:
    """The journalled manifest, checked anew: flash is not trusted more than the air."""
    if not blob:
        return None
    try:
        return open_manifest(blob, board.identity.publishers)
    except TrustError:
        board.count("manifest_lost")
        return None


def pairs(value: Plain) -> list[tuple[int, int]]:
    """Ranges as the journal holds them."""
    if not isinstance(value, tuple):
        return []
    return [(a, b) for a, b in (pair for pair in value if isinstance(pair, tuple)) if isinstance(a, int) and isinstance(b, int)]
