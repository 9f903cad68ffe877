"""Commit before publish, in order, and nothing sent of a commit that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from gateway.core.attendance import Terms
from gateway.core.effects import Append, CloseTransfer, Effect, OpenTransfer, SendReceipt, SendWelcome
from gateway.core.terminal import Terminal
from gateway.engine import executor as module
from gateway.engine.executor import Executor
from gateway.wire.codec import decode
from gateway.wire.messages import Receipt, Welcome
from tests.unit.engine.line import Book, Line

ENTRY = Append(
    at_us=1, terminal="T1", campaign="", upgrade="u", actor="terminal", what="x", from_state="", to_state="", code="ok"
)


class Bench:
    """An executor between a book and a line."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.book = Book(self.journal)
        self.line = Line(self.journal)
        self.lost: list[str] = []
        self.counters: Counter[str] = Counter()
        self.executor = Executor(
            self.book,
            self.line,
            bytes(32),
            counters=self.counters,
            on_transfer=lambda session, *, is_open: self.journal.append(f"{'open' if is_open else 'close'}:{session.id}"),
            on_lost=self.lost.append,
            is_current=lambda session: session.id not in self.lost,
            on_committed=lambda: None,
        )


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    """A bench whose executor runs."""
    bench = Bench()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.executor.run)
        yield bench
        tasks.cancel_scope.cancel()


def _receipt(terminal: str, *seqs: int) -> SendReceipt:
    return SendReceipt(terminal=terminal, receipt=Receipt(upgrade="u", seqs=seqs))


def _session(name: str = "T1") -> Terminal:
    return Terminal(name, Terms())


async def test_nothing_leaves_before_its_commit() -> None:
    """Saves first, then transfers, then messages."""
    effects: list[Effect] = [_receipt("T1", 1), OpenTransfer(terminal="T1"), ENTRY]
    async with running() as bench:
        bench.executor.submit(_session(), effects)
        await bench.executor.flush()

    assert bench.journal == ["saved", "open:T1", "sent:tg1/dn/T1/receipt@1"]


async def test_a_failed_commit_sends_nothing_and_forgets_its_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the session believed is not what the store holds; what it queued meanwhile goes too."""
    monkeypatch.setattr(module, "STORE_RETRY_S", 0.0)
    session, other = _session(), _session("T2")
    async with running() as bench:
        bench.book.failures = 1
        bench.executor.submit(session, [ENTRY, _receipt("T1", 1)])
        await bench.executor.flush()
        bench.executor.submit(session, [ENTRY, _receipt("T1", 2)])
        bench.executor.submit(other, [ENTRY, _receipt("T2", 1)])
        await bench.executor.flush()

    assert bench.lost == ["T1"]
    assert bench.journal == ["saved", "sent:tg1/dn/T2/receipt@1"]
    assert bench.counters["store_failed"] == 1
    assert bench.executor.failing == ""


async def test_what_queued_up_shares_one_commit() -> None:
    """Natural group commit."""
    async with running() as bench:
        for number in range(200):
            bench.executor.submit(_session(f"T{number}"), [ENTRY])
        await bench.executor.flush()

    assert bench.journal == ["saved"]
    assert len(bench.book.rows) == 200


async def test_receipts_of_one_upgrade_travel_together() -> None:
    """A terminal pays for every message."""
    async with running() as bench:
        bench.executor.submit(_session(), [_receipt("T1", 1)])
        bench.executor.submit(_session(), [_receipt("T1", 2), _receipt("T1", 2)])
        await bench.executor.flush()

    ((_, payload),) = bench.line.sent
    receipt = decode("receipt", payload)
    assert isinstance(receipt, Receipt)
    assert receipt.seqs == (1, 2)


async def test_effects_of_one_session_keep_their_order() -> None:
    """A close never overtakes its open."""
    session = _session()
    async with running() as bench:
        bench.executor.submit(session, [OpenTransfer(terminal="T1")])
        bench.executor.submit(session, [CloseTransfer(terminal="T1")])
        bench.executor.submit(session, [SendWelcome(terminal="T1", welcome=Welcome(epoch=1, now_ms=5))])
        await bench.executor.flush()

    assert bench.journal == ["open:T1", "close:T1", "sent:tg1/dn/T1/welcome@1"]
