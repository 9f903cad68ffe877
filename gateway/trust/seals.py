"""Seals of the ledger: the gateway's signature under all entries of a day, and under the seal before (docs/adr/0015).

A ``Seal`` says which entries it covers and what their hashes come to. ``sign_seal`` makes its signature, ``check_seal``
believes it. Pure; the store keeps seals, ``services.seals`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from gateway.trust.chain import canonical
from gateway.trust.keys import KeyRing
from gateway.trust.signed import sign, verify
from gateway.wire.messages import Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What is signed."""

    number: int
    """1, 2, 3 and so on, without a gap."""
    day: str
    """The day in UTC that it closes, as 2026-11-26."""
    sealed_us: int
    first_seq: int
    """The entry after the last one of the seal before."""
    last_seq: int
    entry_count: int
    digest: bytes
    """SHA-256 over the hashes of these entries, one after the other in the order of their numbers."""
    previous: bytes
    """``hash`` of the seal before; ``chain.GENESIS`` in the first."""

    def body(self) -> bytes:
        """The bytes under the signature."""
        numbers = (self.number, self.day, self.sealed_us, self.first_seq, self.last_seq, self.entry_count)
        return canonical([*(str(one).encode() for one in numbers), self.digest, self.previous])

    @property
    def hash(self) -> bytes:
        """What the next seal refers to. Noted elsewhere, it proves everything up to this seal."""
        return sha256(self.body()).digest()


def sign_seal(seal: Seal, private: bytes) -> Signed:
    """The seal under the gateway's signature."""
    return sign("seal", seal.body(), private)


def check_seal(seal: Seal, signature: bytes, key: str, ring: KeyRing) -> None:
    """Believe that the gateway of ``ring`` made this seal; ``TrustError`` (``signature_invalid``) when it did not."""
    verify("seal", Signed(body=seal.body(), signature=signature, key=key), ring)
