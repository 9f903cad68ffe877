"""Signatures: bound to their key, their purpose and every bit of the body."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.errors import TrustError
from gateway.trust.keys import KeyRing, key_id, public_of
from gateway.trust.signed import sign, verify
from gateway.wire.messages import Signed

PRIVATE = bytes(range(32))
RING = KeyRing([public_of(PRIVATE)])
SIGNED = sign("order", b"body", PRIVATE)


def _flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_signed_body_is_believed() -> None:
    assert verify("order", SIGNED, RING) == b"body"
    assert key_id(public_of(PRIVATE)) == SIGNED.key


def test_signing_twice_gives_the_same_bytes() -> None:
    """Ed25519 needs no chance, so vectors can be frozen."""
    assert sign("order", b"body", PRIVATE) == SIGNED


@pytest.mark.parametrize("bit", range(32))
def test_one_changed_bit_of_the_body_is_found(bit: int) -> None:
    _refused(dataclasses.replace(SIGNED, body=_flip(SIGNED.body, bit)))


@pytest.mark.parametrize("bit", range(0, 512, 7))
def test_one_changed_bit_of_the_signature_is_found(bit: int) -> None:
    _refused(dataclasses.replace(SIGNED, signature=_flip(SIGNED.signature, bit)))


def test_a_body_signed_for_another_purpose_is_refused() -> None:
    with pytest.raises(TrustError) as caught:
        verify("manifest", SIGNED, RING)

    assert caught.value.code == "signature_invalid"


def test_a_key_outside_the_ring_is_refused_by_name() -> None:
    stranger = sign("order", b"body", b"\1" * 32)

    with pytest.raises(TrustError) as caught:
        verify("order", stranger, RING)

    assert caught.value.code == "signature_invalid"
    assert caught.value.facts["key"] == stranger.key


def test_a_believed_name_on_a_strangers_signature_does_not_help() -> None:
    _refused(dataclasses.replace(sign("order", b"body", b"\1" * 32), key=SIGNED.key))


def _refused(signed: Signed) -> None:
    with pytest.raises(TrustError) as caught:
        verify("order", signed, RING)

    assert caught.value.code == "signature_invalid"
