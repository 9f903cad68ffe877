"""The chain's bytes are frozen, and no two entries have the same."""

from __future__ import annotations

from gateway.trust.chain import COLUMNS, GENESIS, canonical, link_hash

ENTRY = [
    b"2",
    b"1",
    b"1790000000000000",
    b"T1",
    b"c1",
    b"c1-1",
    b"terminal",
    b"accepted",
    b"offered",
    b"preparing",
    b"ok",
    b"{}",
]


def test_the_hash_of_an_entry_is_frozen() -> None:
    """An auditor with another program must come to the same."""
    assert len(ENTRY) == len(COLUMNS)
    assert canonical(ENTRY[:4]) == b"1:2,1:1,16:1790000000000000,2:T1,"
    assert link_hash(GENESIS, ENTRY).hex() == "3808ef8158e80955290076722152c7e95b60ab095effa1b9efd85f3108c3f706"


def test_what_is_moved_from_one_column_to_the_next_changes_the_hash() -> None:
    assert canonical([b"ab", b"c"]) != canonical([b"a", b"bc"])
    assert canonical([b"1:a,", b""]) != canonical([b"1:a", b","])
    assert canonical([b"", b"1:a,"]) != canonical([b"0:,", b"a,"])


def test_the_entry_before_is_part_of_the_hash() -> None:
    assert link_hash(GENESIS, ENTRY) != link_hash(link_hash(GENESIS, ENTRY), ENTRY)
