"""Tables and checks: how a dataclass and its map keep to each other."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.wire.codes import Component
from gateway.wire.fields import Field, Table, integer, mapping, plain, record, sequence, text, word


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str
    inner: Inner
    other: Inner | None = None
    pair: tuple[int, ...] = ()


INNER = Table(Inner, Field("s", "size", integer(1, 9)))
OUTER = Table(
    Outer,
    Field("n", "name", text(4, least=1)),
    record("i", "inner", INNER),
    record("o", "other", INNER, optional=True),
    Field("p", "pair", sequence(integer(0, 9), 2)),
    agree=lambda outer: "the pair must be empty or whole" if len(outer.pair) == 1 else None,
)


def test_records_are_read_and_written_within_records() -> None:
    value = Outer(name="x", inner=Inner(size=1), other=Inner(size=2), pair=(1, 2))
    written = {"n": "x", "i": {"s": 1}, "o": {"s": 2}, "p": (1, 2)}

    assert OUTER.write(value) == written
    assert OUTER.read(written) == value
    assert OUTER.read({"n": "x", "i": {"s": 1}, "o": None}) == Outer(name="x", inner=Inner(size=1))


def test_a_table_knows_which_keys_must_be_there() -> None:
    assert OUTER.required == {"name", "inner"}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({}, "n (name): missing"),
        ({"n": ""}, "n (name): expected a string of 1..4 characters without NUL"),
        ({"n": "x", "i": {"s": 10}}, "i (inner): s (size): expected an integer in 1..9"),
        ({"n": "x", "i": None}, "i (inner): expected a map"),
        ({"n": "x", "i": {"s": 1}, "p": (1,)}, "the pair must be empty or whole"),
        ([], "expected a map"),
    ],
)
def test_a_complaint_says_where_and_what_was_expected(value: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"expected|missing|must") as caught:
        OUTER.read(value)

    assert str(caught.value) == complaint


def test_writing_keeps_the_same_rules() -> None:
    with pytest.raises(ValueError, match=r"i \(inner\): s \(size\)"):
        OUTER.write(Outer(name="x", inner=Inner(size=0)))
    with pytest.raises(ValueError, match="whole"):
        OUTER.write(Outer(name="x", inner=Inner(size=1), pair=(1,)))


def test_a_table_that_forgets_a_field_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Table(Inner, Field("x", "other", text(1)))


def test_words_come_as_members_and_may_be_given_as_members() -> None:
    check = word(Component)

    assert check("app") is Component.APP
    assert check(Component.APP) is Component.APP
    with pytest.raises(ValueError, match="Component"):
        check("rocket")


def test_maps_check_keys_and_values() -> None:
    check = mapping(integer(0, 9), 2)

    assert check({"a": 1}) == {"a": 1}
    refused: list[object] = [{"a": 10}, {"": 1}, {"a": 1, "b": 2, "c": 3}, [], None]
    for wrong in refused:
        with pytest.raises(ValueError, match="expected"):
            check(wrong)


def test_free_form_maps_hold_plain_values_only() -> None:
    value = {"a": None, "b": (1, [2.5, {"c": b"x"}])}

    assert plain(value) is value
    refused: list[object] = [{"a": object()}, {"a": {1}}, {1: 2}, (), None, "text"]
    for wrong in refused:
        with pytest.raises(ValueError, match="expected"):
            plain(wrong)
