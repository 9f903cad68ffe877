"""Building packages: the same bytes for the same content, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from gateway.errors import RequestError, TooLargeError, TrustError
from gateway.packages.build import ManifestFields, build, read_manifest, sign
from gateway.packages.format import split_head
from gateway.trust.keys import KeyRing, public_of
from gateway.trust.manifest import MAX_PACKAGE_BYTES, open_manifest
from gateway.wire.codes import Code, Component
from gateway.wire.messages import SEGMENT_BYTES

PRIVATE = bytes(range(32))
OTHER = b"\1" * 32
FIELDS = ManifestFields(component=Component.APP, version="2.1.0", counter=21, models=("lakala-4g-esign",))


def parts(path: Path) -> tuple[bytes, bytes]:
    found = split_head(path.read_bytes())
    assert found is not None
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    (root / "lib").mkdir(parents=True)
    (root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (root / "run.sh").chmod(0o700)
    (root / "lib" / "data.bin").write_bytes(b"\0" * 5000)
    (root / "lib" / "\u6536\u94f6.txt").write_bytes(b"name outside ASCII")
    return root


def test_a_file_is_packed_as_it_is(tmp_path: Path) -> None:
    payload = os.urandom(2 * SEGMENT_BYTES + 3)
    source, out = tmp_path / "image.bin", tmp_path / "image.tgp"
    source.write_bytes(payload)

    fields: ManifestFields = {**FIELDS, "battery_min_pct": 40, "created_ms": 7}
    manifest = build(source, out, private=PRIVATE, **fields)

    blob, packed = parts(out)
    assert packed == payload
    assert open_manifest(blob, KeyRing([public_of(PRIVATE)])) == manifest
    assert (manifest.size_bytes, manifest.battery_min_pct, manifest.created_ms) == (len(payload), 40, 7)
    assert manifest.sha256 == hashlib.sha256(payload).digest()
    assert manifest.segments[2] == hashlib.sha256(payload[-3:]).digest()


def test_a_folder_gives_the_same_tar_whatever_its_times_and_owners(tmp_path: Path, folder: Path) -> None:
    first = build(folder, tmp_path / "1.tgp", private=PRIVATE, **FIELDS)
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    (folder / "lib").chmod(0o700)
    second = build(folder, tmp_path / "2.tgp", private=PRIVATE, **FIELDS)

    assert (tmp_path / "1.tgp").read_bytes() == (tmp_path / "2.tgp").read_bytes()
    assert first == second


def test_the_tar_holds_the_folder(tmp_path: Path, folder: Path) -> None:
    build(folder, tmp_path / "out.tgp", private=PRIVATE, **FIELDS)

    with tarfile.open(fileobj=io.BytesIO(parts(tmp_path / "out.tgp")[1])) as tar:
        names = tar.getnames()
        run = tar.getmember("run.sh")
        data = tar.extractfile("lib/data.bin")
        assert data is not None
        assert data.read() == b"\0" * 5000
    assert names == ["lib", "lib/data.bin", "lib/\u6536\u94f6.txt", "run.sh"]
    assert (run.mode, run.mtime, run.uid, run.uname) == (0o755, 0, 0, "")


def test_a_link_in_a_folder_is_refused(tmp_path: Path, folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")

    with pytest.raises(RequestError) as caught:
        build(folder, tmp_path / "out.tgp", private=PRIVATE, **FIELDS)

    assert caught.value.code == "source_invalid"


def test_what_cannot_be_read_or_written_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"x")

    with pytest.raises(RequestError) as source:
        build(tmp_path / "missing", tmp_path / "out.tgp", private=PRIVATE, **FIELDS)
    with pytest.raises(RequestError) as target:
        build(tmp_path / "image", tmp_path / "missing" / "out.tgp", private=PRIVATE, **FIELDS)

    assert (source.value.code, target.value.code) == ("source_invalid", "target_invalid")


def test_an_empty_or_too_large_payload_makes_no_package(tmp_path: Path) -> None:
    empty, large, out = tmp_path / "empty", tmp_path / "large", tmp_path / "out.tgp"
    empty.touch()
    with large.open("wb") as file:
        file.truncate(MAX_PACKAGE_BYTES + 1)

    with pytest.raises(TrustError):
        build(empty, out, private=PRIVATE, **FIELDS)
    with pytest.raises(TooLargeError):
        build(large, out, private=PRIVATE, **FIELDS)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "large"]


def test_another_signature_keeps_manifest_and_payload(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"payload")
    manifest = build(tmp_path / "image", tmp_path / "a.tgp", private=OTHER, **FIELDS)

    assert sign(tmp_path / "a.tgp", tmp_path / "b.tgp", private=PRIVATE) == manifest
    blob, payload = parts(tmp_path / "b.tgp")
    assert payload == b"payload"
    assert open_manifest(blob, KeyRing([public_of(PRIVATE)])) == manifest


def test_a_package_can_be_signed_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"payload")
    package = tmp_path / "a.tgp"
    build(tmp_path / "image", package, private=OTHER, **FIELDS)

    sign(package, package, private=PRIVATE)

    assert open_manifest(parts(package)[0], KeyRing([public_of(PRIVATE)])).counter == 21


def test_a_damaged_package_is_not_signed(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"payload")
    package = tmp_path / "a.tgp"
    build(tmp_path / "image", package, private=OTHER, **FIELDS)
    package.write_bytes(package.read_bytes()[:-1] + b"!")

    with pytest.raises(RequestError) as caught:
        sign(package, tmp_path / "b.tgp", private=PRIVATE)

    assert caught.value.code == "source_invalid"
    assert not (tmp_path / "b.tgp").exists()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PK", "magic_invalid"),
        (b"TGPK1\n\0\0\0\x08half", Code.LENGTH_MISMATCH),
        (b"TGPK1\n\0\0\0\x01\x80", Code.MANIFEST_INVALID),
    ],
)
def test_a_file_that_is_no_package_has_no_manifest(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "a.tgp").write_bytes(content)

    with pytest.raises(TrustError) as caught:
        read_manifest(tmp_path / "a.tgp")

    assert caught.value.code == code
