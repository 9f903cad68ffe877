"""Frozen package files (docs/protocol.md 14)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.errors import TrustError
from gateway.packages.ingest import ingest
from gateway.trust.keys import KeyRing

VECTORS: Final = json.loads((Path(__file__).parents[2] / "vectors" / "package.json").read_text(encoding="utf-8"))
PUBLISHERS: Final = KeyRing([bytes.fromhex(VECTORS["publisher"])])


async def _stream(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda vector: vector["name"])
async def test_frozen_packages_are_taken_in_as_ever(tmp_path: Path, vector: dict[str, Any]) -> None:
    found = await ingest(_stream(bytes.fromhex(vector["hex"])), tmp_path, PUBLISHERS, max_bytes=1 << 20)

    assert found.sha256hex == vector["sha256"]
    assert found.path.read_bytes().hex() == vector["payload"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
async def test_frozen_bad_packages_are_refused_as_ever(tmp_path: Path, vector: dict[str, Any]) -> None:
    with pytest.raises(TrustError) as caught:
        await ingest(_stream(bytes.fromhex(vector["hex"])), tmp_path, PUBLISHERS, max_bytes=1 << 20)

    assert caught.value.code == vector["code"]


async def test_a_changed_byte_anywhere_in_a_package_is_refused(tmp_path: Path) -> None:
    """No byte of a file lies outside of what is signed or checked."""
    good = bytes.fromhex(VECTORS["accepted"][0]["hex"])
    taken = []
    for at in range(len(good)):
        bad = good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1 :]
        try:
            taken.append((at, await ingest(_stream(bad), tmp_path, PUBLISHERS, max_bytes=1 << 20)))
        except TrustError:
            continue

    assert taken == []
