"""Orders at the terminal's door: believed, meant for it, new, in time; then at most once, or the old answer again.

What the gate has let through, and the answer to each of the last 64 orders, is journalled in the same record as the order's
first effect. An order that is itself refused is answered once and leaves no trace. ``Firmware`` carries out what ``open``
returns.
"""

from __future__ import annotations

from typing import Final

from device_sim.board import Board
from device_sim.outbox import Outbox
from gateway.errors import TrustError, WireError
from gateway.trust.orders import KNOWN_IDS, OrderGate, open_order
from gateway.wire.codec import encode
from gateway.wire.codes import Code, ResultStatus
from gateway.wire.messages import Order, PlainMap, Result, Signed
from gateway.wire.topics import is_terminal_id

_GATE: Final = "gate"


class OrderBook:
    """The gate and its memory."""

    __slots__ = ("_board", "_number", "_outbox", "_places", "gate")

    def __init__(self, board: Board, outbox: Outbox) -> None:
        self._board = board
        self._outbox = outbox
        counter, shard_epoch, clock_floor_ms, self._number, _ = _integers(board.journal.get(_GATE), 5)
        self._places: dict[str, int] = {}
        entries = (_entry(board.journal.get(key)) for key in board.journal.keys("o/"))
        for number, order_id, _, _ in sorted(entries):
            self._places[order_id] = number
        self.gate = OrderGate(counter=counter, shard_epoch=shard_epoch, clock_floor_ms=clock_floor_ms, known=self._places)

    def open(self, signed: Signed, now: float) -> Order | None:
        """The order to carry out now; ``None`` when it was refused, or repeated and answered as before."""
        identity = self._board.identity
        try:
            order = open_order(signed, identity.orders, terminal=identity.id)
            verdict = self.gate.admit(order, self._board.clock.time_ms(now))
        except WireError as exc:
            self._board.count(exc.code)
            return None
        except TrustError as exc:
            self._refuse_door(exc, now)
            return None

        if verdict == "repeat":
            self._save_gate(order)
            self._answer_again(order.id)
            return None
        self._number += 1
        self._places[order.id] = self._number
        while len(self._places) > KNOWN_IDS:
            del self._places[next(iter(self._places))]
        self._write(self._number, order.id, "", b"")
        self._save_gate(order)
        return order

    def answer(self, order_id: str, kind: str, payload: bytes) -> None:
        """Remember the newest answer to an order, to give it again when the order comes again."""
        number = self._places.get(order_id)
        if number is not None:
            self._write(number, order_id, kind, payload)

    def result(
        self, order_id: str, status: ResultStatus, now: float, *, code: Code = Code.OK, data: PlainMap | None = None
    ) -> None:
        """Answer an order by a result that is repeated until its receipt."""
        message = Result(order=order_id, status=status, code=code, data=data or {}, at_ms=self._board.clock.raw_ms(now))
        payload = encode(message)
        self.answer(order_id, "result", payload)
        self._outbox.add_result(order_id, payload, now)

    def _refuse_door(self, exc: TrustError, now: float) -> None:
        """Refusals say so once: no journal, no repetition, or strangers could fill the flash."""
        self._board.count(exc.code)
        order_id = exc.facts.get("order")
        if not isinstance(order_id, str) or not is_terminal_id(order_id):
            return
        self._board.publish(
            Result(order=order_id, status=ResultStatus.REFUSED, code=Code(exc.code), at_ms=self._board.clock.raw_ms(now))
        )

    def _answer_again(self, order_id: str) -> None:
        self._board.count("order_repeated")
        _, _, kind, payload = _entry(self._board.journal.get(f"o/{self._places[order_id] % KNOWN_IDS}"))
        if kind:
            self._board.publish_bytes(kind, payload)

    def _write(self, number: int, order_id: str, kind: str, payload: bytes) -> None:
        self._board.journal.set(f"o/{number % KNOWN_IDS}", (number, order_id, kind, payload))

    def _save_gate(self, order: Order) -> None:
        """The gate, and the epoch of the order that it has just let through: whoever reads the journal later can judge it."""
        gate = self.gate
        saved = (gate.counter, gate.shard_epoch, gate.clock_floor_ms, self._number, order.shard_epoch)
        self._board.journal.set(_GATE, saved)


def _integers(value: object, count: int) -> tuple[int, ...]:
    found = value if isinstance(value, tuple) and len(value) == count else (0,) * count
    return tuple(item if isinstance(item, int) else 0 for item in found)


def _entry(value: object) -> tuple[int, str, str, bytes]:
    match value:
        case (int(number), str(order_id), str(kind), bytes(payload)):
            return number, order_id, kind, payload
        case _:
            raise AssertionError(value)
