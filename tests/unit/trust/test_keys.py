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
from gateway.trust.keys import (
    KeyRing,
    key_id,
    load_private,
    load_public,
    new_private_key,
    private_text,
    public_of,
    public_text,
    signing_key,
)

PRIVATE = bytes(range(32))


def _pem(private: bytes, encryption: KeySerializationEncryption) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(private).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def _lines(which: str, body: str) -> str:
    return f"-----BEGIN {which} KEY-----\n{body}\n-----END {which} KEY-----\n"


def test_the_public_half_is_that_of_rfc_8032() -> None:
    """RFC 8032, 7.1, test 1."""
    private = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")

    assert public_of(private).hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def test_a_key_is_named_by_the_start_of_its_hash() -> None:
    public = public_of(PRIVATE)

    assert key_id(public) == hashlib.sha256(public).hexdigest()[:16]


def test_new_keys_differ() -> None:
    assert new_private_key() != new_private_key()


def test_a_file_holds_the_pem_of_one_half() -> None:
    """RFC 8410, 10.3 and 10.1: the same key, as other tools write it."""
    private = bytes.fromhex("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842")
    pem = _lines("PRIVATE", "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC")
    public_pem = _lines("PUBLIC", "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=")

    assert private_text(private) == pem
    assert public_text(public_of(private)) == public_pem
    assert load_private(pem.encode()) == private
    assert load_public(public_pem.encode()) == public_of(private)


def test_one_half_is_not_taken_for_the_other() -> None:
    with pytest.raises(TrustError, match="the public half of a key; the private half is needed") as caught:
        load_private(public_text(public_of(PRIVATE)).encode())
    assert caught.value.code == "key_invalid"
    for text in (private_text(PRIVATE), public_text(public_of(PRIVATE)) + private_text(PRIVATE)):
        with pytest.raises(TrustError, match="the private half of a key; the public half is needed") as caught:
            load_public(text.encode())
        assert caught.value.code == "key_invalid"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PRIVATE,
        b"00" * 32,
        b"\xff" * 33,
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        # OpenSSL itself stumbles over it
        private_text(bytes(range(32))).replace("VwBCIE", "VvBCIE").encode(),
        b"-----BEGIN PRIVATE KEY-----\n" * 10_000,
    ],
    ids=["empty", "raw", "hex", "long", "broken-private-pem", "broken-public-pem", "x448-of-a-wrong-length", "endless"],
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
    body = private_text(PRIVATE).splitlines()[1]
    broken = private_text(PRIVATE).replace(body, body[:-8])

    for load in (load_private, load_public):
        with pytest.raises(TrustError) as caught:
            load(broken.encode())

        assert body[:8] not in str(caught.value)
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
