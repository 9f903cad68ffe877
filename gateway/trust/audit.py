"""The auditor of the ledger: takes its entries in the order of their numbers and names what is wrong with them (docs/adr/0015).

Fed by ``services.audit``; ``seal_audit`` does the same for seals. Its memory does not grow with the ledger: it holds what it
has found, and ``FINDINGS_MAX`` bounds that.

Of each entry: its number follows the one before; its hash comes from its columns and from the hash of the entry before it of
its terminal; that entry is there, and none of the same terminal stands between. Of each terminal: the table of heads knows its
last entry. So whoever changes, removes or adds a row has to change every later row of that terminal, its head, and a seal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.trust.chain import COLUMNS, GENESIS, link_hash

#: An audit ends when it has found so much: a ledger that is wrong everywhere is no list to be read.
FINDINGS_MAX: Final = 1000
_TERMINAL: Final = COLUMNS.index("terminal")
_PREV_SEQ: Final = COLUMNS.index("prev_seq")


class Kind(StrEnum):
    """What is wrong."""

    CHANGED = "changed"
    """The entry is not what it was when it was written."""
    MISSING = "missing"
    """There was an entry of this number (or a stretch of them), and it is gone."""
    INSERTED = "inserted"
    """The gateway did not write this entry, or not here."""
    UNPROVEN = "unproven"
    """The entry before it is wrong itself, so nothing shows whether this one is what it was."""
    HEAD = "head"
    """The entry is the last one that the table of heads knows of its terminal, but with another hash."""
    SEAL = "seal"
    """The seal of this number is missing, or it or what it covers is not what was signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    kind: Kind
    number: int
    """Of the entry; of the seal when ``kind`` is ``SEAL``."""
    last: int
    """The last number of a stretch, else ``number``."""
    terminal: str = ""
    text: str
    """One line for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One entry as it stands in the store, and what stands around it."""

    seq: int
    columns: Sequence[bytes]
    """As ``chain.COLUMNS`` names them."""
    prev_seq: int
    """The entry before it of its terminal, as it says itself; 0 for the first."""
    terminal: str
    hash: bytes
    prev_hash: bytes | None
    """Of the entry ``prev_seq``; ``None`` when there is none."""
    prev_terminal: str
    before: tuple[int, bytes]
    """Number and hash of the entry of this terminal that really stands before it; 0 and ``GENESIS`` for none."""
    between: Sequence[int]
    """Entries of this terminal between ``prev_seq`` and ``seq``: there should be none."""
    head_seq: int
    """The last entry of this terminal as the heads know it; 0 when they know none."""
    head_hash: bytes


class Audit:
    """See the module: ``take`` every entry from ``first_seq`` on, then ``end``."""

    def __init__(self, first_seq: int = 1) -> None:
        self._next_seq = first_seq
        self._gaps: list[tuple[int, int]] = []
        self._missing: set[int] = set()
        self._wrong: dict[int, bytes] = {}
        self._odd_heads: set[str] = set()
        self.entry_count = 0
        """Entries taken."""
        self.finding_count = 0
        """Entries and stretches named so far."""

    @property
    def full(self) -> bool:
        """Whether it has found as much as it can hold."""
        return self.finding_count + len(self._gaps) >= FINDINGS_MAX

    def take(self, link: Link) -> list[Finding]:
        """The next entry; what it shows to be wrong."""
        self.entry_count += 1
        if link.seq > self._next_seq:
            self._gaps.append((self._next_seq, link.seq - 1))
        self._next_seq = max(self._next_seq, link.seq + 1)
        found = list(self._judged(link))
        self.finding_count += len(found)
        return found

    def end(self, lost_heads: Iterable[tuple[str, int]]) -> list[Finding]:
        """After the last entry: ``lost_heads`` are terminals whose last entry, by this number, is not there."""
        found = [
            finding
            for terminal, seq in lost_heads
            if seq not in self._wrong
            for finding in self._lost(seq, terminal, "the heads know it as the last one of its terminal")
        ]
        for first, last in self._gaps:
            found += self._stretches(first, last)
        self.finding_count += len(found)
        return found

    def _judged(self, link: Link) -> Iterator[Finding]:
        if link.seq < 1:
            yield self._named(Kind.INSERTED, link, "numbers begin at 1")
            return
        if not 0 <= link.prev_seq < link.seq:
            yield self._named(Kind.CHANGED, link, f"it names {link.prev_seq} as the entry before it")
            return
        if not self._fits(link):
            if link.prev_seq in self._wrong:
                yield self._named(Kind.UNPROVEN, link, f"entry {link.prev_seq}, which it follows, is wrong itself")
                return
            if not self._lost_its_own(link):
                yield self._named(Kind.CHANGED, link, "its hash does not come from its columns and the entry before it")
                return
            text = "another entry has its number" if link.prev_hash else "it is not there"
            text = f"entry {link.seq} follows it, and is not proven without it; {text}"
            yield from self._lost(link.prev_seq, link.terminal, text)
        for seq in link.between:
            if seq not in self._wrong:
                self._wrong[seq] = b""
                text = f"entry {link.seq} follows entry {link.prev_seq}, nothing stood between them"
                yield _finding(Kind.INSERTED, seq, link.terminal, text)
        yield from self._headed(link)

    def _fits(self, link: Link) -> bool:
        """Whether the hash is right, be it after the hash that the entry before it should have had."""
        if link.prev_seq and link.prev_hash is None:
            return False
        if link.hash == link_hash(link.prev_hash or GENESIS, link.columns):
            return True
        mended = self._wrong.get(link.prev_seq)
        return bool(mended) and link.hash == link_hash(mended or GENESIS, link.columns)

    @staticmethod
    def _lost_its_own(link: Link) -> bool:
        """Whether the entry that it names is gone, or another terminal's by now, and not its own columns were changed."""
        if not link.prev_seq or (link.prev_hash is not None and link.prev_terminal == link.terminal):
            return False
        moved, renamed = list(link.columns), list(link.columns)
        moved[_TERMINAL] = link.prev_terminal.encode()
        seq, before_hash = link.before
        renamed[_PREV_SEQ] = b"%d" % seq
        return link.hash not in {link_hash(link.prev_hash or GENESIS, moved), link_hash(before_hash, renamed)}

    def _headed(self, link: Link) -> Iterator[Finding]:
        if link.terminal in self._odd_heads:
            return
        if link.seq == link.head_seq and link.hash != link.head_hash:
            self._odd_heads.add(link.terminal)
            yield _finding(
                Kind.HEAD, link.seq, link.terminal, "the heads know this last entry of its terminal with another hash"
            )
        elif link.seq > link.head_seq:
            text = f"the heads know entry {link.head_seq} as the last one" if link.head_seq else "the heads know no entry"
            yield self._named(Kind.INSERTED, link, f"{text} of its terminal")

    def _named(self, kind: Kind, link: Link, text: str) -> Finding:
        self._wrong[link.seq] = link_hash(link.prev_hash or GENESIS, link.columns)
        return _finding(kind, link.seq, link.terminal, text)

    def _lost(self, seq: int, terminal: str, text: str) -> Iterator[Finding]:
        if seq not in self._missing:
            self._missing.add(seq)
            yield _finding(Kind.MISSING, seq, terminal, text)

    def _stretches(self, first: int, last: int) -> Iterator[Finding]:
        """The parts of a gap in the numbers that nothing else has named."""
        named = sorted(seq for seq in self._missing if first <= seq <= last)
        for begin, end in zip([first, *(seq + 1 for seq in named)], [*(seq - 1 for seq in named), last], strict=True):
            if begin <= end:
                text = "its number was given and is not there" if begin == end else "their numbers were given and are not there"
                yield _finding(Kind.MISSING, begin, "", text, last=end)


def _finding(kind: Kind, number: int, terminal: str, text: str, *, last: int | None = None) -> Finding:
    return Finding(kind=kind, number=number, last=number if last is None else last, terminal=terminal, text=text)
