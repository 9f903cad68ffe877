"""The auditor of seals: whether each was signed by the gateway, follows the one before, and covers the entries that it says.

Fed by ``services.audit`` with the hashes of entries in the order of their numbers; holds one running digest (docs/adr/0015).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from gateway.errors import TrustError
from gateway.trust.audit import Finding, Kind
from gateway.trust.chain import GENESIS
from gateway.trust.keys import KeyRing
from gateway.trust.seals import Seal, check_seal


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedSeal:
    """A seal as it stands in the store."""

    seal: Seal
    signature: bytes
    key: str
    """Name of the key that signed it."""


class SealAudit:
    """See the module: ``take`` every entry from the first seal's first one on, then ``end``."""

    def __init__(self, ring: KeyRing, seals: Sequence[SignedSeal], *, before: Seal | None = None) -> None:
        """``ring``: keys that may have sealed; ``before``: the seal before the first of ``seals``, when there is one."""
        self._ring = ring
        self._seals = seals
        self._place = 0
        self._before = before
        self._trusted = True
        self._begin()

    def take(self, seq: int, entry_hash: bytes) -> list[Finding]:
        """The next entry; what is wrong with the seals that end before it."""
        found: list[Finding] = []
        while self._place < len(self._seals) and seq > self._seals[self._place].seal.last_seq:
            found += self._close()
        if self._place < len(self._seals) and seq >= self._seals[self._place].seal.first_seq:
            self._digest.update(entry_hash)
            self._count += 1
        return found

    def end(self) -> list[Finding]:
        """What is wrong with the seals that are left."""
        found: list[Finding] = []
        while self._place < len(self._seals):
            found += self._close()
        return found

    def _begin(self) -> None:
        self._digest = sha256()
        self._count = 0

    def _close(self) -> Iterator[Finding]:
        """Judge the seal whose entries have all been taken."""
        kept = self._seals[self._place]
        seal, before = kept.seal, self._before
        expected = before.number + 1 if before is not None else 1
        if seal.number > expected:
            yield _finding(expected, "it was made and is not there", last=seal.number - 1)
        wrong = self._wrong(kept) or (self._follows(seal) if seal.number == expected else "")
        if wrong:
            yield _finding(seal.number, f"{seal.day}: {wrong}")
        self._trusted = not wrong
        self._before = seal
        self._place += 1
        self._begin()

    def _wrong(self, kept: SignedSeal) -> str:
        seal = kept.seal
        try:
            check_seal(seal, kept.signature, kept.key, self._ring)
        except TrustError as exc:
            return exc.message
        if (self._digest.digest(), self._count) != (seal.digest, seal.entry_count):
            return f"entries {seal.first_seq} to {seal.last_seq} are not those that were sealed"
        return ""

    def _follows(self, seal: Seal) -> str:
        """Why a seal that is right by itself does not follow the one before; that one's own fault is named once."""
        previous, first_seq = (self._before.hash, self._before.last_seq + 1) if self._before is not None else (GENESIS, 1)
        if self._trusted and (seal.previous, seal.first_seq) != (previous, first_seq):
            return "it does not follow the seal before it"
        return ""


def _finding(number: int, text: str, *, last: int | None = None) -> Finding:
    return Finding(kind=Kind.SEAL, number=number, last=number if last is None else last, text=text)
