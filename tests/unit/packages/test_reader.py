"""Reading pieces of payloads: exact, bounded, and cheap enough for the pump."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import StoreError
from gateway.packages.reader import OpenFiles, PackageReader

PAYLOAD = os.urandom(50_000)


@pytest.fixture
def files() -> Iterator[OpenFiles]:
    opened = OpenFiles(limit=2)
    yield opened
    opened.close()


@pytest.fixture
def reader(tmp_path: Path, files: OpenFiles) -> PackageReader:
    (tmp_path / "payload").write_bytes(PAYLOAD)
    return PackageReader(tmp_path / "payload", len(PAYLOAD), files)


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1024), (16_384, 16_384), (49_152, 16_384), (0, 0), (50_000, 1), (60_000, 1)]
)
def test_a_read_is_a_slice_of_the_payload(reader: PackageReader, offset: int, length: int) -> None:
    assert reader.read(offset, length) == PAYLOAD[offset : offset + length]


def test_a_payload_that_has_gone_is_missing(tmp_path: Path, files: OpenFiles) -> None:
    with pytest.raises(StoreError) as caught:
        PackageReader(tmp_path / "missing", 10, files).read(0, 1)

    assert caught.value.code == "package_missing"


def test_a_payload_cut_short_is_damaged(tmp_path: Path, files: OpenFiles) -> None:
    (tmp_path / "short").write_bytes(b"12345")

    with pytest.raises(StoreError) as caught:
        PackageReader(tmp_path / "short", 10, files).read(0, 10)

    assert caught.value.code == "package_damaged"


def test_open_files_are_bounded_and_the_one_used_longest_ago_goes_first(tmp_path: Path, files: OpenFiles) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(name.encode())
    readers = {name: PackageReader(tmp_path / name, 1, files) for name in ("a", "b", "c")}

    for name in ("a", "b", "a", "c"):
        assert readers[name].read(0, 1) == name.encode()
    (tmp_path / "a").unlink()
    (tmp_path / "b").unlink()

    assert len(files) == 2
    assert readers["a"].read(0, 1) == b"a"  # still open
    with pytest.raises(StoreError):
        readers["b"].read(0, 1)


def test_closed_files_open_again_when_they_are_needed(reader: PackageReader, files: OpenFiles) -> None:
    reader.read(0, 1)
    files.close()

    assert len(files) == 0
    assert reader.read(0, 4) == PAYLOAD[:4]
