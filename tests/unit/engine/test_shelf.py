"""Packages are read from the folder by the hash of their payload."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.engine.shelf import Shelf
from gateway.errors import StoreError
from gateway.packages.ingest import payload_path
from tests.unit.core.build import PLAN


def test_a_package_is_read_where_it_was_taken_in_and_misses_at_the_first_read(tmp_path: Path) -> None:
    target = replace(PLAN.target, size_bytes=5, sha256=b"\7" * 32)
    path = payload_path(tmp_path, target.sha256.hex())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"hello")
    shelf = Shelf(tmp_path)
    try:
        assert shelf.open(target).read(1, 3) == b"ell"
        gone = shelf.open(replace(target, sha256=b"\6" * 32))
        with pytest.raises(StoreError):
            gone.read(0, 5)
    finally:
        shelf.close()
