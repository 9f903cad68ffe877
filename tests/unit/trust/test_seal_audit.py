"""Seals: each by itself, each after the one before, each over what it covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from gateway.trust.chain import GENESIS
from gateway.trust.keys import KeyRing, public_of
from gateway.trust.seal_audit import SealAudit, SignedSeal
from gateway.trust.seals import Seal, sign_seal

PRIVATE = bytes(range(32))
RING = KeyRing([public_of(PRIVATE)])
HASHES = [bytes([number]) * 32 for number in range(1, 10)]


def sealed(seal: Seal) -> SignedSeal:
    """Signed as the gateway does."""
    signed = sign_seal(seal, PRIVATE)
    return SignedSeal(seal=seal, signature=signed.signature, key=signed.key)


def three() -> list[SignedSeal]:
    """Three days of three entries each."""
    seals: list[SignedSeal] = []
    for number in (1, 2, 3):
        first = 3 * number - 2
        seal = Seal(
            number=number,
            day=f"2026-11-0{number}",
            sealed_us=number,
            first_seq=first,
            last_seq=first + 2,
            entry_count=3,
            digest=sha256(b"".join(HASHES[first - 1 : first + 2])).digest(),
            previous=seals[-1].seal.hash if seals else GENESIS,
        )
        seals.append(sealed(seal))
    return seals


def audited(
    seals: Sequence[SignedSeal], hashes: Sequence[bytes] = HASHES, before: Seal | None = None
) -> list[tuple[int, int, str]]:
    """Numbers and texts of what is found."""
    audit = SealAudit(RING, seals, before=before)
    found = [finding for seq, one in enumerate(hashes, 1) for finding in audit.take(seq, one)]
    return [(one.number, one.last, one.text) for one in (*found, *audit.end())]


def test_nothing_is_found_in_seals_that_are_in_order() -> None:
    seals = three()
    assert audited(seals) == []
    assert audited([]) == []
    assert audited(seals[2:], before=seals[1].seal) == []


def test_what_was_sealed_is_not_what_is_there() -> None:
    changed = [*HASHES[:4], bytes(32), *HASHES[5:]]
    assert audited(three(), changed) == [(2, 2, "2026-11-02: entries 4 to 6 are not those that were sealed")]
    assert audited(three(), HASHES[:8]) == [(3, 3, "2026-11-03: entries 7 to 9 are not those that were sealed")]


def test_a_changed_seal_is_named_and_not_laid_upon_the_next() -> None:
    seals = three()
    seals[0] = replace(seals[0], seal=replace(seals[0].seal, sealed_us=9))
    [(number, _, text)] = audited(seals)

    assert number == 1
    assert "not of this seal" in text


def test_missing_seals_are_named() -> None:
    seals = three()
    assert audited(seals[2:]) == [(1, 2, "it was made and is not there")]
    assert audited([seals[0], seals[2]]) == [(2, 2, "it was made and is not there")]


def test_a_seal_that_the_gateway_made_for_another_ledger_does_not_follow() -> None:
    seals = three()
    other = sealed(replace(seals[1].seal, previous=bytes(32)))

    assert audited([seals[0], other]) == [(2, 2, "2026-11-02: it does not follow the seal before it")]
