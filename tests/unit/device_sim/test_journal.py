"""The journal: each commit is atomic, whatever byte the power fails at."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from device_sim.flash import Flash, PowerLostError
from device_sim.journal import COMPACT_BYTES, Journal
from gateway.wire.messages import Plain

CHANGES = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.none() | st.integers(0, 99) | st.binary(max_size=200), max_size=4),
    min_size=1,
    max_size=30,
)


def state_of(journal: Journal) -> dict[str, Plain]:
    return {key: journal.get(key) for key in journal.keys("")}


def apply(journal: Journal, changes: dict[str, Plain]) -> None:
    for key, value in changes.items():
        if value is None:
            journal.drop(key)
        else:
            journal.set(key, value)
    journal.commit()


def test_empty_flash_is_an_empty_journal() -> None:
    assert state_of(Journal(Flash())) == {}


def test_uncommitted_changes_show_at_once_and_are_lost_with_power() -> None:
    flash = Flash()
    journal = Journal(flash)
    journal.set("a", 1)
    journal.commit()
    journal.set("a", 2)
    journal.set("b", b"x")

    assert (journal.integer("a"), journal.blob("b")) == (2, b"x")
    assert state_of(Journal(flash)) == {"a": 1}


@given(changes=CHANGES, cut=st.integers(0, 4000))
def test_after_a_cut_every_commit_counts_wholly_or_not_at_all(changes: list[dict[str, Plain]], cut: int) -> None:
    """The recovered state is the one before or after the commit that was cut, and goes on from there."""
    flash = Flash(fuse=cut)
    states: list[dict[str, Plain]] = [{}]
    try:
        journal = Journal(flash)
        for change in changes:
            states.append({**states[-1], **change})
            for key in [key for key, value in states[-1].items() if value is None]:
                del states[-1][key]
            apply(journal, change)
        done = True
    except PowerLostError:
        done = False

    flash.fuse = None
    recovered = Journal(flash)
    assert state_of(recovered) in (states[-1:] if done else states[-2:])
    before = state_of(recovered)
    apply(recovered, {"z": 1})
    assert state_of(Journal(flash)) == {**before, "z": 1}


@given(cuts=st.lists(st.integers(1, 3000), max_size=8), seed=st.integers(0, 1000))
def test_snapshots_keep_the_log_short_and_survive_cuts(cuts: list[int], seed: int) -> None:
    """Compaction writes the other log; a cut in it leaves the older one valid."""
    rng = Random(seed)
    flash = Flash()
    journal = Journal(flash)
    last = -1
    for number in range(60):
        value = rng.randbytes(rng.randrange(100, 300))
        if cuts and number % 7 == 0:
            flash.fuse = cuts.pop()
        try:
            apply(journal, {"n": number, "v": value})
            last = number
        except PowerLostError:
            journal = Journal(flash)
            assert journal.integer("n") in {last, number} or last < 0
            last = journal.integer("n") if journal.get("n") is not None else last

    assert all(len(log) < 3 * COMPACT_BYTES for log in flash.logs.values())


def test_torn_tail_is_cut_off_and_never_read_again() -> None:
    flash = Flash()
    journal = Journal(flash)
    apply(journal, {"a": 1})
    flash.logs["journal1"] += b"\x00\x00\x00\x10torn"

    apply(Journal(flash), {"b": 2})
    assert state_of(Journal(flash)) == {"a": 1, "b": 2}
