"""Bytes under an Ed25519 signature, bound to one purpose (docs/security.md, "Signatures").

The purpose is part of what is signed, so a manifest can never be passed off as an order, nor the other way round. The signature
is checked before a single byte of the body is read.
"""

from __future__ import annotations

from typing import Literal

from cryptography.exceptions import InvalidSignature

from gateway.errors import TrustError
from gateway.trust.keys import KeyRing, key_id, public_of, signing_key
from gateway.wire.codes import Code
from gateway.wire.messages import Signed

Purpose = Literal["order", "manifest", "seal"]


def sign(purpose: Purpose, body: bytes, private: bytes) -> Signed:
    """``body`` under the signature of ``private``."""
    signature = signing_key(private).sign(_message(purpose, body))
    return Signed(body=body, signature=signature, key=key_id(public_of(private)))


def verify(purpose: Purpose, signed: Signed, ring: KeyRing) -> bytes:
    """The body, once its signature is proven.

    Raises:
        TrustError: ``signature_invalid``: the key is not in the ring, or the signature is not of this body for this purpose.
    """
    key = ring.get(signed.key)
    if key is None:
        raise TrustError(f"signed by the unknown key {signed.key!r}", code=Code.SIGNATURE_INVALID, key=signed.key)

    try:
        key.verify(signed.signature, _message(purpose, signed.body))
    except InvalidSignature:
        raise TrustError(
            f"the signature of key {signed.key} is not of this {purpose}", code=Code.SIGNATURE_INVALID, key=signed.key
        ) from None
    return signed.body


def _message(purpose: Purpose, body: bytes) -> bytes:
    return b"tg1." + purpose.encode() + b"\0" + body
