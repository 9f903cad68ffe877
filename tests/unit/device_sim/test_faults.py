"""Faults: each happens as often as it says, and rubbish is rubbish."""

from __future__ import annotations

import contextlib
from random import Random

from device_sim.faults import ALWAYS, CutAt, Faults, FaultState, PowerCut, rubbish
from device_sim.outputs import Publish
from gateway.errors import WireError
from gateway.wire.codec import decode
from gateway.wire.codes import Phase, What
from gateway.wire.messages import Report
from tests.unit.device_sim.play import Play


def test_counted_faults_are_used_up_and_endless_ones_are_not() -> None:
    state = FaultState(Faults())

    assert [state.strikes("a", 2) for _ in range(4)] == [True, True, False, False]
    assert all(state.strikes("b", ALWAYS) for _ in range(100))
    assert not state.strikes("c", 0)


def test_each_power_cut_happens_once_and_when_it_says() -> None:
    cuts = (
        PowerCut(at=CutAt.BYTES, value=100),
        PowerCut(at=CutAt.PHASE, phase=Phase.STAGED),
        PowerCut(at=CutAt.TIME, value=60),
        PowerCut(at=CutAt.WRITTEN, value=1),
    )
    state = FaultState(Faults(power_cuts=cuts))

    assert state.next_timed_cut() == 60
    assert state.due_cut(received_bytes=99, phase=None, running_s=1) is None
    assert state.due_cut(received_bytes=100, phase=None, running_s=1) is cuts[0]
    assert state.due_cut(received_bytes=100, phase=Phase.STAGED, running_s=61) is cuts[1]
    assert state.due_cut(received_bytes=100, phase=Phase.STAGED, running_s=61) is cuts[2]
    assert state.due_cut(received_bytes=100, phase=Phase.STAGED, running_s=61) is None
    assert state.next_timed_cut() is None


def test_rubbish_is_mostly_refused_and_never_upsets_the_codec() -> None:
    rng = Random(1)
    refused = 0
    for _ in range(500):
        message = rubbish(rng, b"\x82\xa1e\x01\xa2on\xc3")
        try:
            decode(message.kind, message.payload)
        except WireError:
            refused += 1

    assert refused > 300


def test_terminal_that_spills_garbage_still_upgrades() -> None:
    play = Play(faults=Faults(garbage_every_s=0.3, duplicate_p=0.2))
    heard = play._hear  # noqa: SLF001 - the play itself takes no garbage

    def hear(kind: str, payload: bytes) -> None:
        with contextlib.suppress(WireError):
            message = decode(kind, payload)
            bent = isinstance(message, Report) and play.reports.get(message.seq, message) != message
            if not bent:
                heard(kind, payload)

    play._hear = hear  # type: ignore[method-assign]  # noqa: SLF001
    garbage: list[Publish] = []
    assert play.upgrade_to(What.COMMITTED)
    garbage = [output for output in play.outputs if isinstance(output, Publish) and output.kind in {"nonsense", "log"}]
    assert len(garbage) > 10


def test_timed_power_cut_comes_at_its_time() -> None:
    play = Play(faults=Faults(power_cuts=(PowerCut(at=CutAt.TIME, value=7.5),)))
    play.auto = False
    play.boot()
    play.run(lambda: play.terminal.board.tally.power_cuts > 0)

    assert play.now == 7.5
