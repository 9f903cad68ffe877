"""A seal is believed from the gateway alone, and stands for all that it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import TrustError
from gateway.trust.chain import GENESIS
from gateway.trust.keys import KeyRing, public_of
from gateway.trust.seals import Seal, check_seal, sign_seal
from gateway.trust.signed import sign

PRIVATE = bytes(range(32))
RING = KeyRing([public_of(PRIVATE)])
SEAL = Seal(
    number=1,
    day="2026-11-26",
    sealed_us=1_790_000_000_000_000,
    first_seq=1,
    last_seq=9,
    entry_count=9,
    digest=bytes(32),
    previous=GENESIS,
)


def test_a_seal_of_the_gateway_is_believed() -> None:
    signed = sign_seal(SEAL, PRIVATE)
    check_seal(SEAL, signed.signature, signed.key, RING)


@pytest.mark.parametrize(
    "change",
    [
        {"number": 2},
        {"day": "2026-11-27"},
        {"sealed_us": 1},
        {"first_seq": 2},
        {"last_seq": 10},
        {"entry_count": 8},
        {"digest": b"\1" * 32},
        {"previous": b"\1" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
def test_nothing_of_a_seal_can_be_changed(change: dict[str, Any]) -> None:
    signed = sign_seal(SEAL, PRIVATE)
    changed = replace(SEAL, **change)

    assert changed.hash != SEAL.hash
    with pytest.raises(TrustError, match="not of this seal"):
        check_seal(changed, signed.signature, signed.key, RING)


def test_a_signature_of_the_same_bytes_for_another_purpose_is_no_seal() -> None:
    signed = sign("order", SEAL.body(), PRIVATE)
    with pytest.raises(TrustError, match="not of this seal"):
        check_seal(SEAL, signed.signature, signed.key, RING)


def test_a_seal_of_another_gateway_is_not_believed() -> None:
    signed = sign_seal(SEAL, bytes(32))
    with pytest.raises(TrustError, match="unknown key"):
        check_seal(SEAL, signed.signature, signed.key, RING)
