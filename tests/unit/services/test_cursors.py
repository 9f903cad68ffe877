"""Cursors: they come back as they went out, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.services import cursors
from gateway.services.context import new_id, operator
from gateway.services.pages import page_of
from gateway.wire.topics import is_terminal_id


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_a_place_comes_back(place: str) -> None:
    assert place == cursors.decode("terminals", cursors.encode("terminals", place))


@given(st.text(max_size=300))
def test_no_text_is_taken_for_a_place_by_chance(text: str) -> None:
    if not text:
        assert cursors.decode("terminals", text) == ""
        return
    with pytest.raises(RequestError, match="not a cursor"):
        cursors.decode("terminals", text)


@pytest.mark.parametrize("place", ["-1", "x", "9" * 19])
def test_a_number_must_be_one(place: str) -> None:
    with pytest.raises(RequestError, match="not a cursor"):
        cursors.decode_number("entries", cursors.encode("entries", place))


def test_a_page_knows_whether_more_follows() -> None:
    full = page_of("terminals", ["a", "b", "c"], 2, str)
    last = page_of("terminals", ["a", "b"], 2, str)

    assert (full.rows, full.next) == (["a", "b"], cursors.encode("terminals", "b"))
    assert (last.rows, last.next) == (["a", "b"], None)


def test_ids_sort_by_time_and_go_on_the_air() -> None:
    early, late = new_id("c", 1_790_000_000_000_000), new_id("c", 1_790_000_000_001_000)

    assert early < late
    assert is_terminal_id(f"{late}-{10**7}-{10**6}")  # an upgrade's order
    assert len({new_id("o", 0) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 65, "é", "a\n"])
def test_a_name_that_does_not_fit_the_ledger_is_refused(name: str) -> None:
    with pytest.raises(RequestError):
        operator(name)
