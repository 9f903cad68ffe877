"""Ed25519 keys as 32 raw bytes: making, naming, writing and reading them as PEM, and the ring of public keys that one believes.

A key file is PEM, PKCS #8 for a private key and SubjectPublicKeyInfo for a public one (RFC 8410), so that nobody can take one
half for the other. Called by ``tillgate init`` and ``config`` (files), and by ``signed`` (signatures). Never reads a file
itself, and no error text ever holds a private key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gateway.errors import TrustError

KEY_BYTES: Final = 32
KEY_ID_CHARS: Final = 16
#: An Ed25519 key's file has 120 bytes; a foreign key that is longer need not be looked at.
FILE_MAX_BYTES: Final = 16 * 1024

_PRIVATE_MARK: Final = b"PRIVATE KEY-----"
_PUBLIC_MARK: Final = b"PUBLIC KEY-----"


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


def private_text(private: bytes) -> str:
    """A private key as the text of its file: PEM of its PKCS #8 form, not encrypted."""
    return signing_key(private).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def public_text(public: bytes) -> str:
    """A public key as the text of its file: PEM of its SubjectPublicKeyInfo."""
    return _public(public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def load_private(data: bytes) -> bytes:
    """A private key from its file's content, see ``private_text``.

    Raises:
        TrustError: ``key_invalid``; a public key is named as such.
    """
    if _PUBLIC_MARK in data and _PRIVATE_MARK not in data:
        raise TrustError("this is the public half of a key; the private half is needed here", code="key_invalid")
    try:
        key = load_pem_private_key(data[:FILE_MAX_BYTES].lstrip(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        # `from None` and no detail: the text of the foreign error may quote the file
        raise TrustError("this is no private key: unencrypted Ed25519 PEM (PKCS #8) is expected", code="key_invalid")
    return key.private_bytes_raw()


def load_public(data: bytes) -> bytes:
    """A public key from its file's content, see ``public_text``.

    Raises:
        TrustError: ``key_invalid``; a private key is named as such.
    """
    if _PRIVATE_MARK in data:
        raise TrustError("this is the private half of a key; the public half is needed here", code="key_invalid")
    try:
        key = load_pem_public_key(data[:FILE_MAX_BYTES].lstrip())
    except (ValueError, UnsupportedAlgorithm, InternalError):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise TrustError("this is no public key: Ed25519 PEM (SubjectPublicKeyInfo) is expected", code="key_invalid")
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
