"""The head of a package file, however it is cut up on its way."""

from __future__ import annotations

import pytest

from gateway.errors import TrustError
from gateway.packages.format import MAGIC, head, split_head
from gateway.trust.manifest import MAX_MANIFEST_BYTES

FILE = head(b"manifest") + b"payload"


def test_the_head_is_magic_length_and_manifest() -> None:
    assert head(b"manifest") == b"TGPK1\n" + b"\0\0\0\x08" + b"manifest"


@pytest.mark.parametrize("length", range(len(head(b"manifest"))))
def test_a_part_of_the_head_asks_for_more(length: int) -> None:
    assert split_head(FILE[:length]) is None


def test_the_manifest_and_the_first_of_the_payload_come_apart() -> None:
    assert split_head(FILE) == (b"manifest", b"payload")
    assert split_head(head(b"manifest")) == (b"manifest", b"")


@pytest.mark.parametrize("data", [b"P", b"TGPK2\n", b"PK\x03\x04" + b"\0" * 60])
def test_another_file_is_known_by_its_first_bytes(data: bytes) -> None:
    with pytest.raises(TrustError) as caught:
        split_head(data)

    assert caught.value.code == "magic_invalid"


def test_a_manifest_that_would_be_too_long_is_refused_before_it_comes() -> None:
    with pytest.raises(TrustError) as caught:
        split_head(MAGIC + (MAX_MANIFEST_BYTES + 1).to_bytes(4, "big"))

    assert caught.value.code == "manifest_too_long"
    assert split_head(MAGIC + MAX_MANIFEST_BYTES.to_bytes(4, "big")) is None
