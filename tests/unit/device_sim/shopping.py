"""A transfer beside payments on demand, with a line that loses and delays acks, and a gateway that keeps a lease."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from device_sim.options import Options, Shop
from device_sim.outputs import Output, PauseBulk, Publish
from gateway.wire.codec import decode, encode
from gateway.wire.messages import Ack, Chunk, Message
from tests.unit.device_sim.build import payload_of
from tests.unit.device_sim.play import DELAY_S, Play

PAYLOAD = payload_of(900_000)
QUIET_S = Options().quiet_s
LEASE_S = 5.0
SILENCE_S = 3.0
SLACK_S = 4 * DELAY_S + 0.15  # there and back, a delayed ack, and the play's own steps


@dataclass(slots=True)
class Line:
    """What becomes of an ack: seconds that it takes beyond the usual, or ``None`` when it is lost."""

    fate: Callable[[Ack], float | None] = lambda _ack: 0.0


class Shopping(Play):
    """A transfer of some kilobytes a second, payments of three seconds on demand, and a gateway with a lease."""

    def __init__(self, line: Line | None = None, *, payment_s: float = 3.0, quiet_s: float = QUIET_S) -> None:
        shop = Shop(lead_s=(payment_s, payment_s), host_s=(0.0, 0.0), declined_p=0.0)
        super().__init__(PAYLOAD, options=Options(speed=1.0, shop=shop, quiet_s=quiet_s, reconnect_base_s=0.2))
        self.chunk_blocks = self.window_blocks = 1
        self.line = line or Line()
        self.said: list[tuple[float, Ack]] = []
        self.sent_at: list[float] = []
        self.read_at: list[float] = []
        self.switches: list[tuple[float, bool]] = []
        self.stale = 0
        self._heard, self._heard_at = (-1, -1), 0.0
        self._pause_seq = -1
        self._braked_until = float("-inf")
        self._unread: list[Callable[[], None]] = []

    def flowing(self) -> Shopping:
        """Run until chunks flow."""
        self.boot()
        assert self.run(lambda: bool(self.ack_log) and self.ack_log[-1].cum >= 20)
        return self

    def card(self, in_s: float = 0.0) -> float:
        """A customer; when the payment begins."""
        at = self.now + in_s
        self.terminal.board.shop.expect(at)
        return at

    def gap_after(self, at: float) -> float:
        """How long after ``at`` the gateway sent its next chunk."""
        return next(sent for sent in self.sent_at if sent > at) - at

    # -- the line

    def _pump_outputs(self) -> None:
        before = len(self.outputs)
        super()._pump_outputs()
        for output in self.outputs[before:]:
            self._note(output)
        if not self.paused:
            unread, self._unread = self._unread, []
            for read in unread:
                read()
            if unread:
                super()._pump_outputs()

    def _note(self, output: Output) -> None:
        if isinstance(output, PauseBulk):
            self.switches.append((self.now, output.paused))

    def _up(self, output: Publish) -> None:
        if not output.bulk:
            super()._up(output)
            return
        ack = decode(output.kind, output.payload)
        assert isinstance(ack, Ack)
        self.said.append((self.now, ack))
        late_s = self.line.fate(ack)
        if late_s is not None and self.bulk_up:
            self.at(self.now + DELAY_S + late_s, lambda: self._hear(output.kind, output.payload))

    def down(self, message: Message, *, bulk: bool = False, kind: str = "") -> None:
        """A socket that is not read keeps its bytes."""
        if not isinstance(message, Chunk):
            super().down(message, bulk=bulk, kind=kind)
            return
        self.sent_at.append(self.now)
        mine = self.generation["bulk"]

        def arrive() -> None:
            if self.generation["bulk"] == mine:
                self._unread.append(read) if self.paused else read()

        def read() -> None:
            self.read_at.append(self.now)
            self.terminal.on_message("chunk", encode(message), True, self.now)

        self.at(self.now + DELAY_S, arrive)

    # -- the gateway

    def _acked(self, ack: Ack) -> None:
        if (ack.epoch, ack.seq) <= self._heard:
            self.stale += 1
            return
        if ack.epoch > self._heard[0]:
            self._pause_seq = -1
        self._heard, self._heard_at = (ack.epoch, ack.seq), self.now
        self.at(self.now + SILENCE_S, lambda: self._silent(ack))
        if not ack.foreground:
            self._braked_until = float("-inf")
        elif ack.pause_seq > self._pause_seq:
            self._pause_seq = ack.pause_seq
            self._braked_until = self.now + LEASE_S
            self.at(self._braked_until, lambda: self._silent(ack))
        super()._acked(ack)

    def _silent(self, ack: Ack) -> None:
        """Nothing heard for long enough and no brake: one chunk as a probe."""
        if self.now >= max(self._heard_at + SILENCE_S, self._braked_until) and ack.cum * 1024 < len(PAYLOAD):
            self._heard_at = self.now
            self._chunk(ack.transfer, ack.cum, 1)
