"""One holder per store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.errors import StoreError, StoreInUseError
from gateway.store.exclusive import held


def test_a_second_holder_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    store = tmp_path / "tillgate.db"
    with held(store), pytest.raises(StoreInUseError) as caught, held(store):
        pass

    assert str(store) in str(caught.value)
    assert f"process {os.getpid()}" in str(caught.value)
    assert "store_path" in str(caught.value)


def test_the_lock_ends_with_the_block(tmp_path: Path) -> None:
    store = tmp_path / "tillgate.db"
    for _ in range(2):
        with held(store):
            pass

    with pytest.raises(ZeroDivisionError), held(store):
        raise ZeroDivisionError
    with held(store):
        pass


def test_two_stores_do_not_disturb_each_other(tmp_path: Path) -> None:
    with held(tmp_path / "one.db"), held(tmp_path / "two.db"):
        pass


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="folder exists") as caught, held(tmp_path / "missing" / "tillgate.db"):
        pass

    assert caught.value.code == "store_cannot_open"
