"""Signed orders: signing at the gateway, opening at the terminal, and the gate that lets each order through at most once.

The steps of a terminal, in sequence (docs/protocol.md 5.2): signature, form, terminal id (``open_order``); known id, counter,
shard epoch, time (``OrderGate.admit``). The first that fails names the refusal. The gate does no I/O: the terminal journals
what it holds before it carries an order out, and gives it back after a power cut.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Literal

from gateway.errors import TrustError, WireError
from gateway.trust.keys import KeyRing
from gateway.trust.signed import sign, verify
from gateway.wire.codec import decode_order, encode_order
from gateway.wire.codes import Code
from gateway.wire.messages import Order, Signed

KNOWN_IDS: Final = 64  # how many executed order ids a terminal remembers


def sign_order(order: Order, private: bytes) -> Signed:
    """An order ready for the air; ``WireError`` (``field_invalid``) when a terminal would refuse its form."""
    return sign("order", encode_order(order), private)


def open_order(signed: Signed, ring: KeyRing, *, terminal: str) -> Order:
    """The order in an envelope, believed to come from the gateway and to be meant for ``terminal``.

    Raises:
        TrustError: ``signature_invalid`` or ``wrong_terminal``; ``facts["order"]`` is the id to answer, empty when the body
            is no order.
        WireError: the body is signed, yet not an order.
    """
    try:
        body = verify("order", signed, ring)
    except TrustError as exc:
        exc.facts["order"] = _claimed_id(signed.body)
        raise

    order = decode_order(body)
    if order.terminal != terminal:
        raise TrustError(f"order {order.id} is for {order.terminal}, not {terminal}", code=Code.WRONG_TERMINAL, order=order.id)
    return order


def _claimed_id(body: bytes) -> str:
    """The id that an unproven body claims: good for an answer that says why it is refused, and for nothing else."""
    try:
        return decode_order(body).id
    except WireError:
        return ""


class OrderGate:
    """What a terminal has accepted so far. All of its state is in the four attributes, and all of it survives power cuts."""

    __slots__ = ("_known", "clock_floor_ms", "counter", "shard_epoch")

    def __init__(self, *, counter: int = 0, shard_epoch: int = 0, clock_floor_ms: int = 0, known: Iterable[str] = ()) -> None:
        self.counter = counter
        """Highest counter accepted."""
        self.shard_epoch = shard_epoch
        """Highest shard epoch accepted."""
        self.clock_floor_ms = clock_floor_ms
        """Newest ``not_before`` accepted; the terminal's time is never earlier."""
        self._known = OrderedDict.fromkeys(known)

    @property
    def known(self) -> tuple[str, ...]:
        """The ids of orders let through, oldest first, at most ``KNOWN_IDS``."""
        return tuple(self._known)

    def admit(self, order: Order, now_ms: int) -> Literal["new", "repeat"]:
        """Whether to carry an order out (``new``) or to repeat what answered it (``repeat``).

        ``now_ms`` is the terminal's clock, corrected by the last ``welcome``. Journal the gate before acting on ``new``.

        Raises:
            TrustError: ``counter_replayed``, ``shard_epoch_old``, ``not_yet_valid`` or ``order_expired``; nothing has changed.
        """
        if order.id in self._known:
            self._raise_to(order)
            return "repeat"

        self._check(order, max(now_ms, self.clock_floor_ms))
        self._raise_to(order)
        self.clock_floor_ms = max(self.clock_floor_ms, order.not_before_ms)
        self._known[order.id] = None
        while len(self._known) > KNOWN_IDS:
            self._known.popitem(last=False)
        return "new"

    def _check(self, order: Order, now_ms: int) -> None:
        facts = {"order": order.id, "counter": order.counter}
        if order.counter <= self.counter:
            raise TrustError(f"counter {order.counter}, accepted up to {self.counter}", code=Code.COUNTER_REPLAYED, **facts)
        if order.shard_epoch < self.shard_epoch:
            raise TrustError(
                f"shard epoch {order.shard_epoch}, accepted up to {self.shard_epoch}", code=Code.SHARD_EPOCH_OLD, **facts
            )
        if now_ms < order.not_before_ms:
            raise TrustError(f"valid from {order.not_before_ms}, it is {now_ms}", code=Code.NOT_YET_VALID, **facts)
        if now_ms > order.not_after_ms:
            raise TrustError(f"valid until {order.not_after_ms}, it is {now_ms}", code=Code.ORDER_EXPIRED, **facts)

    def _raise_to(self, order: Order) -> None:
        self.counter = max(self.counter, order.counter)
        self.shard_epoch = max(self.shard_epoch, order.shard_epoch)
