"""Manifests: what is signed, what is refused, and which terminals a package suits."""

from __future__ import annotations

import dataclasses
import hashlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TrustError
from gateway.trust.keys import KeyRing, public_of
from gateway.trust.manifest import (
    MAX_MANIFEST_BYTES,
    MAX_PACKAGE_BYTES,
    Manifest,
    check,
    decode,
    encode,
    open_manifest,
    segment_size,
    sign_manifest,
)
from gateway.trust.signed import sign
from gateway.wire.codec import MAX_BODY_BYTES, MAX_SEGMENTS, encode_order, unpack
from gateway.wire.codec import encode as encode_message
from gateway.wire.codes import Code, Component, OrderKind
from gateway.wire.messages import SEGMENT_BYTES, Order

PRIVATE = bytes(range(32))
RING = KeyRing([public_of(PRIVATE)])
HASH = hashlib.sha256(b"payload").digest()
MANIFEST = Manifest(
    component=Component.APP,
    version="2.1.0",
    counter=21,
    models=("lakala-4g-esign", "shengpay-4g-esign"),
    size_bytes=SEGMENT_BYTES + 7,
    sha256=HASH,
    segments=(HASH, HASH),
    minimum_versions={"os": "5.0", "app": "1.9"},
    battery_min_pct=30,
    storage_min_bytes=1 << 20,
    created_ms=1_767_225_600_000,
    notes="Faster receipts.",
)
LARGEST = dataclasses.replace(
    MANIFEST,
    size_bytes=MAX_PACKAGE_BYTES,
    segments=(HASH,) * MAX_SEGMENTS,
    models=tuple(f"model-{number:02}" for number in range(40)),
    notes="n" * 1024,
)


def suits(
    manifest: Manifest = MANIFEST, *, model: str = "lakala-4g-esign", app: str = "2.0.9", os: str = "5.1", floor: int = 20
) -> Code:
    return check(manifest, model=model, components={"app": app, "os": os}, floors={"app": floor})


def invalid(manifest: Manifest) -> str:
    with pytest.raises(TrustError) as caught:
        encode(manifest)

    assert caught.value.code == Code.MANIFEST_INVALID
    return caught.value.message


def test_a_manifest_comes_back_from_its_envelope() -> None:
    assert decode(encode(MANIFEST)) == MANIFEST
    assert open_manifest(sign_manifest(MANIFEST, PRIVATE), RING) == MANIFEST


def test_the_largest_package_still_fits_into_an_order() -> None:
    blob = sign_manifest(LARGEST, PRIVATE)
    offer = Order(
        id="u" * 64,
        counter=2**53 - 1,
        shard_epoch=2**53 - 1,
        terminal="t" * 64,
        kind=OrderKind.UPGRADE_OFFER,
        args={"u": "u" * 64, "m": b"\0" * MAX_MANIFEST_BYTES, "ask": True, "est": {"x" * 16: (1, 2)}, "end_ms": 2**53 - 1},
        not_before_ms=0,
        not_after_ms=2**53 - 1,
    )

    assert len(blob) <= MAX_MANIFEST_BYTES
    assert len(encode_order(offer)) <= MAX_BODY_BYTES


def test_a_manifest_too_long_for_an_order_is_not_signed() -> None:
    with pytest.raises(TrustError) as caught:
        sign_manifest(dataclasses.replace(LARGEST, models=tuple("\U0001f4b3" * 60 + f"{n:04}" for n in range(64))), PRIVATE)

    assert caught.value.code == Code.MANIFEST_INVALID


def test_a_manifest_of_an_unknown_publisher_is_refused() -> None:
    with pytest.raises(TrustError) as caught:
        open_manifest(sign_manifest(MANIFEST, b"\1" * 32), RING)

    assert caught.value.code == Code.SIGNATURE_INVALID


def test_an_order_is_no_manifest_even_under_the_right_key() -> None:
    blob = encode_message(sign("order", encode(MANIFEST), PRIVATE))

    with pytest.raises(TrustError) as caught:
        open_manifest(blob, RING)

    assert caught.value.code == Code.SIGNATURE_INVALID


@pytest.mark.parametrize(
    "blob", [b"", b"\xc1", b"\x80", b"\0" * (MAX_MANIFEST_BYTES + 1)], ids=["empty", "garbage", "no-keys", "long"]
)
def test_what_is_no_envelope_is_refused(blob: bytes) -> None:
    with pytest.raises(TrustError) as caught:
        open_manifest(blob, RING)

    assert caught.value.code == Code.MANIFEST_INVALID


def test_a_signed_body_that_is_no_manifest_is_refused() -> None:
    with pytest.raises(TrustError) as caught:
        open_manifest(encode_message(sign("manifest", b"\x80", PRIVATE)), RING)

    assert caught.value.code == Code.MANIFEST_INVALID


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_manifest(data: bytes) -> None:
    with pytest.raises(TrustError):
        open_manifest(data, RING)
    with pytest.raises(TrustError):
        decode(data)


def test_segments_must_cover_the_payload_exactly() -> None:
    assert "segments" in invalid(dataclasses.replace(MANIFEST, segments=(HASH,)))
    assert "segments" in invalid(dataclasses.replace(MANIFEST, segments=(HASH,) * 3))
    assert "segments" in invalid(dataclasses.replace(MANIFEST, size_bytes=SEGMENT_BYTES))


def test_every_field_keeps_its_rule() -> None:
    replace = dataclasses.replace
    assert "version" in invalid(replace(MANIFEST, version="two"))
    assert "counter" in invalid(replace(MANIFEST, counter=0))
    assert "models" in invalid(replace(MANIFEST, models=()))
    assert "models" in invalid(replace(MANIFEST, models=("",)))
    assert "size_bytes" in invalid(replace(MANIFEST, size_bytes=0, segments=()))
    assert "size_bytes" in invalid(replace(MANIFEST, size_bytes=MAX_PACKAGE_BYTES + 1))
    assert "sha256" in invalid(replace(MANIFEST, sha256=b"short"))
    assert "segments" in invalid(replace(MANIFEST, segments=(HASH, b"short")))
    assert "minimum_versions" in invalid(replace(MANIFEST, minimum_versions={"os": "x"}))
    assert "battery_min_pct" in invalid(replace(MANIFEST, battery_min_pct=101))
    assert "storage_min_bytes" in invalid(replace(MANIFEST, storage_min_bytes=-1))
    assert "notes" in invalid(replace(MANIFEST, notes="n" * 1025))


def test_what_was_written_by_others_is_held_to_the_same_rules() -> None:
    fields = unpack(encode(MANIFEST))
    for key, wrong in (("co", "rocket"), ("v", 2), ("md", ()), ("sg", HASH), ("sg", HASH + b"\0"), ("c", True)):
        with pytest.raises(TrustError) as caught:
            decode(msgpack.packb(fields | {key: wrong}))

        assert caught.value.code == Code.MANIFEST_INVALID


def test_the_last_segment_holds_what_remains() -> None:
    assert [segment_size(MANIFEST, index) for index in range(2)] == [SEGMENT_BYTES, 7]
    assert segment_size(dataclasses.replace(MANIFEST, size_bytes=2 * SEGMENT_BYTES), 1) == SEGMENT_BYTES


def test_a_suitable_terminal_may_install() -> None:
    assert suits() == Code.OK
    assert suits(floor=21) == Code.OK


def test_a_terminal_of_another_model_may_not() -> None:
    assert suits(model="shengpay-2g") == Code.MODEL_MISMATCH


def test_a_terminal_that_runs_it_already_is_told_so() -> None:
    assert suits(app="2.1") == Code.ALREADY_INSTALLED


def test_nothing_older_is_installed_by_version_or_by_release_counter() -> None:
    assert suits(app="2.2.0") == Code.VERSION_TOO_LOW
    assert suits(floor=22) == Code.VERSION_TOO_LOW


def test_the_other_components_must_be_new_enough() -> None:
    assert suits(os="4.9") == Code.BASE_VERSION_TOO_LOW
    assert suits(app="1.8") == Code.BASE_VERSION_TOO_LOW
    assert check(MANIFEST, model="lakala-4g-esign", components={"app": "2.0"}, floors={}) == Code.BASE_VERSION_TOO_LOW


def test_a_component_that_the_terminal_has_not_got_yet_may_be_installed() -> None:
    first = dataclasses.replace(MANIFEST, component=Component.PARAMS, minimum_versions={})

    assert check(first, model="lakala-4g-esign", components={}, floors={}) == Code.OK


def test_a_release_candidate_may_be_replaced_by_its_release() -> None:
    assert suits(app="2.1.0-rc.3") == Code.OK
