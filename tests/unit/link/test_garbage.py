"""The collector, calmed and put back."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from gateway.link.garbage import YOUNG_OBJECTS, calm_collector


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_lives_is_frozen_and_new_objects_are_scanned_rarely() -> None:
    calm_collector()

    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] == YOUNG_OBJECTS
