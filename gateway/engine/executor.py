"""Commit before publish: takes the core's effects in order, stores them, and only then lets anything out.

All that queued up while the last commit ran shares the next one. When a commit fails, nothing of it is sent and the sessions
that it concerned are forgotten: they are loaded again from the store, and the terminals repeat what was not receipted.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, assert_never

import anyio
import structlog

from gateway.core.effects import CloseTransfer, Effect, OpenTransfer, Save, SendOrder, SendReceipt, SendWelcome
from gateway.core.terminal import Terminal
from gateway.engine.ports import Link
from gateway.errors import StoreError, WireError
from gateway.store.failures import OF_THE_ROWS
from gateway.trust.orders import sign_order
from gateway.wire.codec import MAX_RECEIPTS, encode
from gateway.wire.messages import Receipt
from gateway.wire.topics import down

log = structlog.get_logger()

#: Sessions' effects waiting for their commit; beyond it the dispatcher waits, and the broker behind it.
QUEUE_MAX: Final = 4096
#: From here on, or when a commit takes longer, the store is behind: what can be had again later is not even queued.
BEHIND_AT: Final = 1024
BEHIND_S: Final = 2.0
#: Sessions' effects in one commit.
BATCH_MAX: Final = 500
#: Pause after a failed commit (seconds).
STORE_RETRY_S: Final = 1.0


class Saver(Protocol):
    """The store's writer."""

    async def save(self, saves: Sequence[Save]) -> None:
        """Return when all is durable; ``StoreError`` when nothing is."""
        ...


class OnTransfer(Protocol):
    """Told when a session's transfer opens or closes, after its commit."""

    def __call__(self, session: Terminal, *, is_open: bool) -> None:
        """See the class."""


@dataclass(slots=True)
class _Item:
    session: Terminal
    effects: list[Effect]


class Executor:
    """See the module. ``submit`` never waits; whoever produces without being asked calls ``room`` first."""

    def __init__(
        self,
        writer: Saver,
        link: Link,
        order_key: bytes,
        *,
        counters: Counter[str],
        on_transfer: OnTransfer,
        on_lost: Callable[[str], None],
        is_current: Callable[[Terminal], bool],
        on_committed: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._link = link
        self._order_key = order_key
        self._counters = counters
        self._on_transfer = on_transfer
        self._on_lost = on_lost
        self._is_current = is_current
        self._on_committed = on_committed
        self._queue: deque[_Item] = deque()
        self._filled = anyio.Event()
        self._emptied = anyio.Event()
        self._submitted = 0
        self._settled = 0
        self._saving_since: float | None = None
        self.peak = 0
        """The most sessions' effects that ever waited."""
        self.failing = ""
        """Why the store does not take our commits now; empty while it does."""

    @property
    def depth(self) -> int:
        """How many sessions' effects wait."""
        return len(self._queue)

    @property
    def saving_s(self) -> float:
        """For how long the present commit has been under way (seconds); 0 when there is none."""
        return 0.0 if self._saving_since is None else anyio.current_time() - self._saving_since

    @property
    def behind(self) -> bool:
        """Whether the store does not keep up: chunks, offers and the saving of progress wait, reports and receipts go on."""
        return len(self._queue) >= BEHIND_AT or self.saving_s >= BEHIND_S

    def submit(self, session: Terminal, effects: list[Effect]) -> None:
        """Queue what one ``handle`` returned. Effects of one session keep their order."""
        if effects:
            self._submitted += 1
            self._queue.append(_Item(session, effects))
            self.peak = max(self.peak, len(self._queue))
            self._filled.set()

    async def room(self) -> None:
        """Return when the queue is below its limit."""
        while len(self._queue) >= QUEUE_MAX:
            await self._wait_emptied()

    async def caught_up(self) -> None:
        """Return when the store is not behind: for what time alone asks for, and nobody waits for."""
        while self.behind:
            await self._wait_emptied()

    async def flush(self) -> None:
        """Return when all that was submitted so far is committed and sent (or has failed)."""
        until = self._submitted
        while self._settled < until:
            await self._wait_emptied()

    async def run(self) -> None:
        """Never returns."""
        while True:
            if not self._queue:
                self._filled = anyio.Event()
                await self._filled.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
            await self._carry_out([item for item in batch if self._is_current(item.session)])
            self._settled += len(batch)
            self._emptied.set()

    async def _carry_out(self, items: list[_Item]) -> None:

        saves: list[Save] = []
        sends: list[SendOrder | SendWelcome | SendReceipt] = []
        transfers: list[tuple[Terminal, bool]] = []
        for item in items:
            _sort(item, saves, sends, transfers)
        if saves and not await self._save(items, saves):
            return
        for session, is_open in transfers:
            self._on_transfer(session, is_open=is_open)
        if sends:
            await self._publish(sends)

    async def _save(self, items: list[_Item], saves: list[Save]) -> bool:
        self._saving_since = anyio.current_time()
        try:
            with anyio.CancelScope(shield=True):
                await self._writer.save(saves)
        except StoreError as exc:
            self._counters["store_failed"] += 1
            self._counters["commits_failed"] += exc.code not in OF_THE_ROWS  # the store's fault, so terminals spoke in vain
            self.failing = str(exc)
            log.exception("commit_failed", reason=str(exc), sessions=len(items))
            for item in items:
                self._on_lost(item.session.id)
            await anyio.sleep(STORE_RETRY_S)
            return False
        finally:
            self._saving_since = None

        self.failing = ""
        self._counters["commits"] += 1
        self._counters["rows"] += len(saves)
        self._on_committed()
        return True

    async def _publish(self, sends: Sequence[SendOrder | SendWelcome | SendReceipt]) -> None:
        """What does not go out now is repeated when it is due again: the state still calls for it."""
        messages: list[tuple[str, bytes]] = []
        for send in _merge_receipts(sends):
            try:
                messages.append(self._message(send))
            except WireError as exc:
                # For one, a terminal that claims to have seen the highest counter there is leaves none for its next order.
                self._counters["unsendable"] += 1
                log.warning("unsendable", effect=type(send).__name__, reason=str(exc))
        handed_over = await self._link.publish_many(messages, qos=1)
        self._counters["control_sent"] += handed_over
        self._counters["control_unsent"] += len(messages) - handed_over

    def _message(self, send: SendOrder | SendWelcome | SendReceipt) -> tuple[str, bytes]:
        match send:
            case SendOrder(order=order):
                self._counters[f"order:{order.kind}"] += 1
                return down(order.terminal, "order"), encode(sign_order(order, self._order_key))
            case SendWelcome(terminal=terminal, welcome=welcome):
                return down(terminal, "welcome"), encode(welcome)
            case SendReceipt(terminal=terminal, receipt=receipt):
                return down(terminal, "receipt"), encode(receipt)
            case _:
                assert_never(send)

    async def _wait_emptied(self) -> None:
        if self._emptied.is_set():
            self._emptied = anyio.Event()
        await self._emptied.wait()


def _sort(
    item: _Item,
    saves: list[Save],
    sends: list[SendOrder | SendWelcome | SendReceipt],
    transfers: list[tuple[Terminal, bool]],
) -> None:
    for effect in item.effects:
        if isinstance(effect, SendOrder | SendWelcome | SendReceipt):
            sends.append(effect)
        elif isinstance(effect, OpenTransfer | CloseTransfer):
            transfers.append((item.session, isinstance(effect, OpenTransfer)))
        else:
            saves.append(effect)


def _merge_receipts(
    sends: Sequence[SendOrder | SendWelcome | SendReceipt],
) -> list[SendOrder | SendWelcome | SendReceipt]:
    """One receipt for all reports of an upgrade, sent where the first stood: a terminal pays for every message."""
    out: list[SendOrder | SendWelcome | SendReceipt] = []
    places: dict[tuple[str, str], int] = {}
    for send in sends:
        if not isinstance(send, SendReceipt):
            out.append(send)
            continue
        key = (send.terminal, send.receipt.upgrade)
        place = places.get(key)
        merged = _joined(out[place], send) if place is not None else None
        if place is None or merged is None:
            places[key] = len(out)
            out.append(send)
        else:
            out[place] = merged
    return out


def _joined(first: SendOrder | SendWelcome | SendReceipt, second: SendReceipt) -> SendReceipt | None:
    if not isinstance(first, SendReceipt):
        raise TypeError(first)
    seqs = tuple(dict.fromkeys(first.receipt.seqs + second.receipt.seqs))
    orders = tuple(dict.fromkeys(first.receipt.orders + second.receipt.orders))
    if len(seqs) > MAX_RECEIPTS or len(orders) > MAX_RECEIPTS:
        return None
    return SendReceipt(terminal=first.terminal, receipt=Receipt(upgrade=first.receipt.upgrade, seqs=seqs, orders=orders))
