"""A filter as SQL conditions; what it finds is shown by the tests of ``terminals``."""

from __future__ import annotations

import pytest

from gateway.errors import RequestError
from gateway.store.selection import IDS_PER_STATEMENT, TerminalFilter, chunks, conditions


def test_an_empty_filter_has_no_condition() -> None:
    assert conditions(TerminalFilter()) == []


def test_an_unknown_component_is_the_callers_mistake() -> None:
    with pytest.raises(RequestError, match="kernel"):
        conditions(TerminalFilter(components={"engine": "1"}))


def test_long_lists_of_ids_are_cut() -> None:
    ids = [str(number) for number in range(IDS_PER_STATEMENT + 1)]

    assert [len(piece) for piece in chunks(ids)] == [IDS_PER_STATEMENT, 1]
    assert list(chunks([])) == []
