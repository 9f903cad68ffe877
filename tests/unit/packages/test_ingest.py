"""Taking packages in: each refusal under its own code, and nothing left behind by any of them."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from gateway.errors import StoreError, TillgateError, TooLargeError, TrustError
from gateway.packages.build import build
from gateway.packages.format import head, split_head
from gateway.packages.ingest import Ingested, ingest, payload_path, sweep
from gateway.trust.keys import KeyRing, public_of
from gateway.trust.manifest import MAX_MANIFEST_BYTES
from gateway.wire.codes import Code, Component
from gateway.wire.messages import SEGMENT_BYTES

PRIVATE = bytes(range(32))
RING = KeyRing([public_of(PRIVATE)])
PAYLOAD = os.urandom(2 * SEGMENT_BYTES) + b"the last segment"
LIMIT = 10 * SEGMENT_BYTES


def a_package(tmp_path: Path, payload: bytes = PAYLOAD, private: bytes = PRIVATE) -> bytes:
    source, out = tmp_path / "source", tmp_path / "source.tgp"
    source.write_bytes(payload)
    build(source, out, private=private, component=Component.APP, version="2.1.0", counter=21, models=("lakala-4g-esign",))
    return out.read_bytes()


async def pieces(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def refused(folder: Path, data: bytes, *, max_bytes: int = LIMIT, size: int = 65_536) -> TillgateError:
    """The error of taking ``data`` in, after which the folder is empty."""
    with pytest.raises(TillgateError) as caught:
        await ingest(pieces(data, size), folder, RING, max_bytes=max_bytes)

    assert names(folder) == set()
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "packages"
    path.mkdir()
    return path


@pytest.mark.parametrize("size", [1, 7, 65_536, SEGMENT_BYTES, 1 << 22])
async def test_a_package_is_taken_in_however_it_is_cut_up(tmp_path: Path, folder: Path, size: int) -> None:
    data = a_package(tmp_path, PAYLOAD if size > 7 else b"small")
    parts = split_head(data)
    assert parts is not None

    found = await ingest(pieces(data, size), folder, RING, max_bytes=LIMIT)

    assert found == Ingested(
        manifest=found.manifest,
        blob=parts[0],
        sha256hex=found.manifest.sha256.hex(),
        path=payload_path(folder, found.sha256hex),
    )
    assert found.path.read_bytes() == parts[1]
    assert names(folder) == {found.path.name}


async def test_the_same_package_twice_is_one_file(tmp_path: Path, folder: Path) -> None:
    data = a_package(tmp_path)

    first = await ingest(pieces(data), folder, RING, max_bytes=LIMIT)
    second = await ingest(pieces(data), folder, RING, max_bytes=LIMIT)

    assert first == second
    assert names(folder) == {first.path.name}


async def test_the_folder_is_made_when_it_is_missing(tmp_path: Path) -> None:
    found = await ingest(pieces(a_package(tmp_path)), tmp_path / "a" / "b", RING, max_bytes=LIMIT)

    assert found.path.parent == tmp_path / "a" / "b"


async def test_another_file_is_refused(folder: Path) -> None:
    assert (await refused(folder, b"PK\x03\x04 no package")).code == "magic_invalid"


async def test_a_manifest_too_long_is_refused(folder: Path) -> None:
    data = b"TGPK1\n" + (MAX_MANIFEST_BYTES + 1).to_bytes(4, "big")

    assert (await refused(folder, data)).code == "manifest_too_long"


async def test_a_manifest_that_is_none_is_refused(folder: Path) -> None:
    assert (await refused(folder, head(b"\x80") + PAYLOAD)).code == Code.MANIFEST_INVALID


async def test_an_unknown_publisher_is_refused_before_anything_is_written(tmp_path: Path, folder: Path) -> None:
    assert (await refused(folder, a_package(tmp_path, private=b"\1" * 32))).code == Code.SIGNATURE_INVALID


@pytest.mark.parametrize("missing", [1, 16, 17, SEGMENT_BYTES + 17, len(PAYLOAD)])
async def test_a_payload_too_short_is_refused(tmp_path: Path, folder: Path, missing: int) -> None:
    error = await refused(folder, a_package(tmp_path)[:-missing])

    assert error.code == Code.LENGTH_MISMATCH
    assert "too short" in error.message
    assert error.facts == {"expected": len(PAYLOAD), "found": len(PAYLOAD) - missing}


@pytest.mark.parametrize("length", [0, 3, 9, 60])
async def test_a_file_that_ends_before_its_payload_is_too_short(tmp_path: Path, folder: Path, length: int) -> None:
    error = await refused(folder, a_package(tmp_path)[:length])

    assert error.code == Code.LENGTH_MISMATCH
    assert "too short" in error.message


async def test_a_payload_too_long_is_refused(tmp_path: Path, folder: Path) -> None:
    error = await refused(folder, a_package(tmp_path) + b"!")

    assert error.code == Code.LENGTH_MISMATCH
    assert "too long" in error.message


@pytest.mark.parametrize(("at", "segment"), [(0, 0), (SEGMENT_BYTES - 1, 0), (SEGMENT_BYTES, 1), (len(PAYLOAD) - 1, 2)])
async def test_a_damaged_byte_is_refused_with_its_segment(tmp_path: Path, folder: Path, at: int, segment: int) -> None:
    data = bytearray(a_package(tmp_path))
    data[len(data) - len(PAYLOAD) + at] ^= 1

    error = await refused(folder, bytes(data))

    assert error.code == Code.CHECKSUM_MISMATCH
    assert error.facts == {"segment": segment}


async def test_damage_is_seen_long_before_the_end(tmp_path: Path, folder: Path) -> None:
    """An upload of a damaged package stops at the damage; the rest is never asked for."""
    data = bytearray(a_package(tmp_path, os.urandom(40 * SEGMENT_BYTES)))
    data[-40 * SEGMENT_BYTES] ^= 1
    asked = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal asked
        async for piece in pieces(bytes(data)):
            asked += len(piece)
            yield piece

    with pytest.raises(TrustError):
        await ingest(counted(), folder, RING, max_bytes=40 * SEGMENT_BYTES)

    assert asked < len(data) / 2


async def test_a_package_above_the_limit_is_refused_by_its_manifest_alone(tmp_path: Path, folder: Path) -> None:
    error = await refused(folder, a_package(tmp_path), max_bytes=len(PAYLOAD) - 1)

    assert isinstance(error, TooLargeError)
    assert error.code == "too_large"


async def test_an_upload_broken_off_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    data = a_package(tmp_path)

    async def broken() -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await ingest(broken(), folder, RING, max_bytes=LIMIT)

    assert names(folder) == set()


async def test_a_cancelled_upload_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    data = a_package(tmp_path, os.urandom(30 * SEGMENT_BYTES))
    stalled = anyio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]
        stalled.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(_ingest, stalling(), folder)
        with anyio.fail_after(10):
            await stalled.wait()
        assert len(names(folder)) == 1
        group.cancel_scope.cancel()

    assert names(folder) == set()


async def _ingest(stream: AsyncIterator[bytes], folder: Path) -> None:
    await ingest(stream, folder, RING, max_bytes=1 << 30)


async def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "packages").write_bytes(b"a file where the folder should be")

    with pytest.raises(StoreError) as caught:
        await ingest(pieces(a_package(tmp_path)), tmp_path / "packages", RING, max_bytes=LIMIT)

    assert caught.value.code == "packages_failed"
    assert os.strerror(errno.EEXIST) in caught.value.message


async def test_what_a_killed_gateway_left_is_swept_and_nothing_else(tmp_path: Path, folder: Path) -> None:
    kept = await ingest(pieces(a_package(tmp_path)), folder, RING, max_bytes=LIMIT)
    (folder / ".upload-abc.part").write_bytes(b"half")
    (folder / "notes.txt").write_bytes(b"the operator's own")

    assert sweep(folder) == 1
    assert names(folder) == {kept.path.name, "notes.txt"}
    assert sweep(tmp_path / "missing") == 0
