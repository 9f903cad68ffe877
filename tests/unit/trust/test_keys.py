"""Keys: names, file contents, and what is refused."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gateway.errors import TrustError
from gateway.trust.keys import KeyRing, key_id, load_private, load_public, new_private_key, public_of, signing_key, to_text

PRIVATE = bytes(range(32))


def _pem(private: bytes, encryption: KeySerializationEncryption) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(private).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def test_the_public_half_is_that_of_rfc_8032() -> None:
    """RFC 8032, 7.1, test 1."""
    private = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")

    assert public_of(private).hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def test_a_key_is_named_by_the_start_of_its_hash() -> None:
    public = public_of(PRIVATE)

    assert key_id(public) == hashlib.sha256(public).hexdigest()[:16]


def test_new_keys_differ() -> None:
    assert new_private_key() != new_private_key()


def test_a_file_holds_hex_raw_bytes_or_pem() -> None:
    public = public_of(PRIVATE)
    pem = (
        Ed25519PrivateKey.from_private_bytes(PRIVATE).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )

    assert to_text(PRIVATE) == PRIVATE.hex() + "\n"
    assert load_private(to_text(PRIVATE).encode()) == PRIVATE
    assert load_private(PRIVATE) == PRIVATE
    assert load_private(_pem(PRIVATE, NoEncryption())) == PRIVATE
    assert load_public(to_text(public).encode()) == public
    assert load_public(public) == public
    assert load_public(pem) == public


@pytest.mark.parametrize(
    "data",
    [b"", b"00" * 31, b"zz" * 32, b"\xff" * 33, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
    ids=["empty", "short", "no-hex", "long", "broken-pem"],
)
def test_anything_else_is_no_key(data: bytes) -> None:
    for load in (load_private, load_public):
        with pytest.raises(TrustError) as caught:
            load(data)

        assert caught.value.code == "key_invalid"


def test_keys_of_another_kind_and_encrypted_ones_are_refused() -> None:
    other = generate_private_key(SECP256R1())
    pems = [
        other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        _pem(PRIVATE, BestAvailableEncryption(b"secret")),
    ]
    for pem in pems:
        with pytest.raises(TrustError):
            load_private(pem)
    with pytest.raises(TrustError):
        load_public(other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_no_error_quotes_a_private_key() -> None:
    text = PRIVATE.hex()[:-2]

    with pytest.raises(TrustError) as caught:
        load_private(text.encode())

    assert text[:8] not in str(caught.value)
    assert not caught.value.facts


def test_a_private_key_of_the_wrong_length_cannot_sign() -> None:
    with pytest.raises(TrustError) as caught:
        signing_key(b"short")

    assert caught.value.code == "key_invalid"


def test_a_ring_knows_its_keys_by_name_alone() -> None:
    public = public_of(PRIVATE)
    ring = KeyRing([public])

    found = ring.get(key_id(public))

    assert found is not None
    assert found.public_bytes_raw() == public
    assert ring.get("0" * 16) is None
    assert len(ring) == 1


def test_a_ring_refuses_what_is_no_key() -> None:
    with pytest.raises(TrustError) as caught:
        KeyRing([b"short"])

    assert caught.value.code == "key_invalid"
