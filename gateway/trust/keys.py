"""Ed25519 keys as 32 raw bytes: making, naming, reading them from a file's text, and the ring of public keys that one believes.

Called by ``tillgate init`` and the runtime (files), and by ``signed`` (signatures). Never reads a file itself, and no error
text ever holds a private key.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from gateway.errors import TrustError

KEY_BYTES: Final = 32
KEY_ID_CHARS: Final = 16


class KeyRing:
    """The public keys that are believed for one purpose."""

    __slots__ = ("_keys",)

    def __init__(self, publics: Iterable[bytes]) -> None:
        self._keys = {key_id(public): _public(public) for public in publics}

    def get(self, name: str) -> Ed25519PublicKey | None:
        """The key called ``name`` (see ``key_id``), or ``None`` when it is not believed."""
        return self._keys.get(name)

    def __len__(self) -> int:
        return len(self._keys)


def new_private_key() -> bytes:
    """A fresh private key."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_of(private: bytes) -> bytes:
    """The public half of a private key."""
    return signing_key(private).public_key().public_bytes_raw()


def key_id(public: bytes) -> str:
    """The name of a public key on the air: the first 8 bytes of its SHA-256, in hex."""
    return hashlib.sha256(public).hexdigest()[:KEY_ID_CHARS]


def to_text(key: bytes) -> str:
    """A key as the text of its file: 64 hex digits and a newline."""
    return key.hex() + "\n"


def load_private(data: bytes) -> bytes:
    """A private key from a file's content: 64 hex digits, 32 raw bytes, or unencrypted PEM (PKCS #8).

    Raises:
        TrustError: ``key_invalid``.
    """
    if not data.lstrip().startswith(b"-----BEGIN"):
        return _raw(data, "private")

    try:
        key = load_pem_private_key(data.lstrip(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        # `from None` and no detail: the text of the foreign error may quote the file
        raise TrustError("the PEM is not an unencrypted Ed25519 private key", code="key_invalid")
    return key.private_bytes_raw()


def load_public(data: bytes) -> bytes:
    """A public key from a file's content: 64 hex digits, 32 raw bytes, or PEM.

    Raises:
        TrustError: ``key_invalid``.
    """
    if not data.lstrip().startswith(b"-----BEGIN"):
        raw = _raw(data, "public")
        _public(raw)
        return raw

    try:
        key = load_pem_public_key(data.lstrip())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise TrustError("the PEM is not an Ed25519 public key", code="key_invalid")
    return key.public_bytes_raw()


@lru_cache(maxsize=8)
def signing_key(private: bytes) -> Ed25519PrivateKey:
    """The loaded form of a private key; kept, because loading costs as much as a signature."""
    if len(private) != KEY_BYTES:
        raise TrustError(f"a private key has {KEY_BYTES} bytes, this one {len(private)}", code="key_invalid")
    return Ed25519PrivateKey.from_private_bytes(private)


def _public(raw: bytes) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as exc:
        raise TrustError(f"not an Ed25519 public key: {exc}", code="key_invalid") from exc


def _raw(data: bytes, which: str) -> bytes:
    if len(data) == KEY_BYTES:
        return data

    try:
        raw = binascii.unhexlify(data.strip())
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES:
        raise TrustError(f"a {which} key is 64 hex digits, {KEY_BYTES} raw bytes, or PEM", code="key_invalid")
    return raw
