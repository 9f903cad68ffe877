"""What a row and its neighbours show; the whole ledger on a real database is in tests/integration/store/test_audit.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.trust.audit import FINDINGS_MAX, Audit, Finding, Kind, Link
from gateway.trust.chain import COLUMNS, GENESIS, link_hash


def link(seq: int, prev_seq: int = 0, prev_hash: bytes = GENESIS, *, head_seq: int = 0, terminal: str = "T1") -> Link:
    """An entry in order, as long as nothing is replaced in it."""
    columns = [b"%d" % seq, b"%d" % prev_seq, b"7", terminal.encode(), *[b"x"] * (len(COLUMNS) - 4)]
    digest = link_hash(prev_hash, columns)
    return Link(
        seq=seq,
        columns=columns,
        prev_seq=prev_seq,
        terminal=terminal,
        hash=digest,
        prev_hash=prev_hash if prev_seq else None,
        prev_terminal=terminal if prev_seq else "",
        before=(prev_seq, prev_hash),
        between=(),
        head_seq=head_seq or seq,
        head_hash=digest,
    )


def chain(count: int) -> list[Link]:
    """The entries of one terminal, all in order."""
    links: list[Link] = []
    for seq in range(1, count + 1):
        links.append(link(seq, seq - 1, links[-1].hash if links else GENESIS))
    return [replace(one, head_seq=count, head_hash=links[-1].hash) for one in links]


def audited(links: Iterable[Link], lost: Sequence[tuple[str, int]] = ()) -> list[Finding]:
    """All that an audit finds."""
    audit = Audit()
    found = [finding for one in links for finding in audit.take(one)]
    return found + audit.end(lost)


def named(found: Iterable[Finding]) -> list[tuple[Kind, int, int]]:
    """Findings without their texts."""
    return [(one.kind, one.number, one.last) for one in found]


def test_nothing_is_found_in_a_ledger_that_is_in_order() -> None:
    assert audited(chain(5)) == []
    assert audited([]) == []


def test_a_changed_hash_is_named_once_and_not_laid_upon_the_next_entry() -> None:
    links = chain(4)
    links[1] = replace(links[1], hash=b"\1" * 32)
    links[2] = replace(links[2], prev_hash=b"\1" * 32)

    assert named(audited(links)) == [(Kind.CHANGED, 2, 2)]


def test_the_number_of_a_missing_entry_comes_from_the_one_that_follows_it() -> None:
    links = chain(4)
    links[2] = replace(links[2], prev_hash=None, prev_terminal="", before=(1, links[0].hash))
    del links[1]
    [found] = audited(links)

    assert (found.kind, found.number, found.terminal) == (Kind.MISSING, 2, "T1")


def test_a_number_that_was_given_again_is_no_entry_of_the_first_terminal() -> None:
    links = chain(3)
    links[1] = link(2, terminal="T2")
    before = (1, links[0].hash)
    links[2] = replace(links[2], prev_hash=links[1].hash, prev_terminal="T2", before=before)

    assert named(audited(links)) == [(Kind.MISSING, 2, 2)]


def test_an_entry_that_names_another_terminals_entry_now_was_changed_itself() -> None:
    first, other = link(1), link(2, terminal="T2")
    right = link(3, 1, first.hash)
    columns = [right.columns[0], b"2", *right.columns[2:]]
    wrong = replace(right, columns=columns, prev_seq=2, prev_hash=other.hash, prev_terminal="T2")

    assert named(audited([replace(first, head_seq=3), other, wrong])) == [(Kind.CHANGED, 3, 3)]


def test_an_entry_that_was_moved_to_another_terminal_is_named_and_not_the_one_before_it() -> None:
    links = chain(3)
    moved = [*links[1].columns[:3], b"T9", *links[1].columns[4:]]
    links[1] = replace(links[1], columns=moved, terminal="T9", head_seq=0)

    assert named(audited(links)) == [(Kind.CHANGED, 2, 2)]


def test_what_follows_a_row_that_is_wrong_in_every_respect_is_not_proven() -> None:
    links = chain(3)
    other = link(2, terminal="T2")
    links[1] = replace(other, prev_seq=1, prev_hash=links[0].hash, prev_terminal="T2")
    links[2] = replace(links[2], prev_hash=other.hash, prev_terminal="T2")

    assert named(audited(links)) == [(Kind.CHANGED, 2, 2), (Kind.UNPROVEN, 3, 3)]


def test_a_gap_that_nobody_points_to_is_named_as_a_stretch_without_what_is_named_already() -> None:
    assert named(audited([link(1), link(9, terminal="T2")])) == [(Kind.MISSING, 2, 8)]
    lost = [("T3", 5), ("T4", 8)]
    assert named(audited([link(1), link(9, terminal="T2")], lost)) == [
        (Kind.MISSING, 5, 5),
        (Kind.MISSING, 8, 8),
        (Kind.MISSING, 2, 4),
        (Kind.MISSING, 6, 7),
    ]


def test_an_entry_between_two_that_follow_each_other_was_inserted() -> None:
    links = chain(2)
    odd = link(2, 1, links[0].hash)
    last = replace(link(3, 1, links[0].hash), between=(2,))

    assert named(audited([links[0], replace(odd, head_seq=3), last])) == [(Kind.INSERTED, 2, 2)]


def test_an_entry_that_points_outside_was_changed() -> None:
    for prev_seq in (-1, 1, 7):
        assert named(audited([replace(link(1), prev_seq=prev_seq)])) == [(Kind.CHANGED, 1, 1)]


def test_an_entry_with_an_impossible_number_was_inserted() -> None:
    assert named(audited([link(-3), link(1)])) == [(Kind.INSERTED, -3, -3)]


def test_heads_tell_what_was_added_and_that_they_were_changed() -> None:
    assert named(audited([replace(link(1), head_seq=0)])) == [(Kind.INSERTED, 1, 1)]
    first, second = chain(2)
    behind = [replace(one, head_seq=1, head_hash=first.hash) for one in (first, second)]
    assert named(audited(behind)) == [(Kind.INSERTED, 2, 2)]
    assert named(audited([replace(first, head_seq=2), replace(second, head_hash=b"\1" * 32)])) == [(Kind.HEAD, 2, 2)]


def test_an_audit_is_full_once_it_cannot_hold_more() -> None:
    audit = Audit()
    taken = 0
    while not audit.full:
        taken += 1
        audit.take(replace(link(taken), hash=b""))

    assert taken == FINDINGS_MAX
