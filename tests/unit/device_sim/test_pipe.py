"""A socket behind a radio: back-pressure both ways, the receive buffer, and what a brake leaves unread."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from random import Random

import pytest

from device_sim.member import receive_bytes
from device_sim.pipe import MAX_HELD_BYTES, READ_LEAST_BYTES, Pipe
from device_sim.profiles import LinkProfile
from device_sim.radio import OVERHEAD, QUEUE_S, Radio

KB_PER_S = 8 * OVERHEAD * 1000  # bits per second


class Clock:
    """The timers of an event loop, in virtual time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> None:
        self._tie += 1
        heapq.heappush(self._heap, (when, self._tie, callback))

    def call_soon(self, callback: Callable[[], None], /) -> None:
        self.call_at(self.now, callback)

    def run(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _, callback = heapq.heappop(self._heap)
            callback()
        self.now = until


class Socket(asyncio.Transport):
    """An endless source that is read while nobody says stop, and a sink."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.closed_after = -1
        self.written: list[bytes] = []

    def pause_reading(self) -> None:
        assert self.reading, "paused twice"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "resumed twice"
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed_after >= 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed_after = len(self.written)


class Setup:
    """A pipe between a socket and a list."""

    def __init__(self, *, receive: float = float("inf"), down_kbps: float = 10.0, up_kbps: float = 1.0) -> None:
        self.clock, self.socket = Clock(), Socket()
        link = LinkProfile(down_bps=down_kbps * KB_PER_S, up_bps=up_kbps * KB_PER_S, delay_ms=40.0)
        self.radio = Radio(link, Random(1))
        self.fed: list[tuple[float, int]] = []
        self.pipe = Pipe(self.clock, self.radio.down, self.radio.up, self._feed, receive_bytes=receive)
        self.pipe.opened(self.socket)
        self.read_bytes = 0

    def _feed(self, data: bytes) -> None:
        self.fed.append((self.clock.now, len(data)))

    def flood(self, until: float) -> None:
        """The sender never runs dry."""
        while self.clock.now < until:
            while self.socket.reading:
                self.pipe.received(len(self.pipe.buffer))
                self.read_bytes += len(self.pipe.buffer)
            self.clock.run(min(until, self.clock.now + 0.01))

    @property
    def fed_bytes(self) -> int:
        return sum(size for _, size in self.fed)


def test_queue_is_three_seconds_deep_and_the_link_is_never_idle() -> None:
    setup = Setup()
    setup.flood(20.0)

    assert setup.read_bytes - setup.fed_bytes <= (QUEUE_S + 0.2) * 10_000
    assert setup.fed_bytes == pytest.approx(200_000, rel=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_a_payment_that_fills_the_lane_between_two_reads_does_not_open_the_socket(seed: int) -> None:
    """What was read then waits before the lane, and nothing more is read behind it, however much room the lane has again."""
    setup, rng = Setup(), Random(seed)
    while setup.clock.now < 60.0:
        setup.flood(setup.clock.now + rng.uniform(0.1, 3.0))
        if setup.socket.reading or not rng.randrange(3):
            setup.radio.down.send(setup.clock.now, rng.randrange(1_000, 20_000))
        if setup.socket.reading:  # it was on its way to us while the payment filled the lane
            setup.pipe.received(len(setup.pipe.buffer))
            setup.read_bytes += len(setup.pipe.buffer)
        most = QUEUE_S * 10_000 + 2 * len(setup.pipe.buffer)

        assert setup.read_bytes - setup.fed_bytes <= most


def test_receive_buffer_bounds_what_is_on_the_air() -> None:
    setup = Setup(receive=4000.0)
    setup.flood(20.0)

    assert setup.radio.down.backlog_s(setup.clock.now) <= (4000 + READ_LEAST_BYTES) / 10_000
    assert setup.fed_bytes == pytest.approx(200_000, rel=0.02), "and the link is full all the same"


def test_brake_leaves_what_is_on_the_air_unread_and_release_hands_it_over_in_order() -> None:
    setup = Setup(receive=4000.0)
    setup.flood(5.0)
    before, read = setup.fed_bytes, setup.read_bytes
    setup.pipe.brake(on=True)
    setup.flood(8.0)
    braked = setup.fed_bytes
    setup.pipe.brake(on=False)
    handed_within_the_call = setup.fed_bytes
    setup.flood(8.01)

    assert braked == handed_within_the_call == before
    assert read > before
    assert (8.0, read - before) in setup.fed


def test_release_that_is_braked_again_at_once_hands_over_nothing() -> None:
    setup = Setup(receive=4000.0)
    setup.flood(5.0)
    before = setup.fed_bytes
    setup.pipe.brake(on=True)
    setup.flood(6.0)
    setup.pipe.brake(on=False)
    setup.pipe.brake(on=True)
    setup.flood(7.0)

    assert setup.fed_bytes == before


def test_uplink_takes_three_seconds_of_its_rate_and_the_rest_waits_in_order() -> None:
    setup = Setup()
    for number in range(100):
        assert setup.pipe.write(bytes([number]) * 100)

    assert setup.radio.up.backlog_s(0.0) <= QUEUE_S + 0.1
    assert setup.radio.up.send(0.0, 100) < 3.3, "a payment waits for the queue, not for the send buffer"
    setup.clock.run(30.0)
    assert [data[0] for data in setup.socket.written] == list(range(100))


def test_uplink_that_takes_nothing_is_said_and_costs_no_more_memory() -> None:
    setup = Setup()
    taken = 0
    while setup.pipe.write(bytes(1000)):
        taken += 1000

    assert MAX_HELD_BYTES <= taken <= MAX_HELD_BYTES + 5000


def test_close_waits_for_what_was_written() -> None:
    setup = Setup()
    setup.pipe.write(b"x" * 100)
    setup.pipe.write(b"y" * 100)
    setup.pipe.close()
    open_at_once = setup.socket.closed_after
    setup.clock.run(5.0)

    assert [open_at_once, setup.socket.closed_after] == [-1, 2]


@pytest.mark.parametrize(
    ("down_bps", "expected"),
    [(96e3, 8 * 1024), (1e6, 0.3 * 1e6 / 8 / OVERHEAD), (10e6, 256 * 1024), (0.0, 256 * 1024)],
)
def test_receive_buffer_fits_the_link(down_bps: float, expected: float) -> None:
    lane = Radio(LinkProfile(down_bps=down_bps), Random(1)).down

    assert receive_bytes(lane) == pytest.approx(expected)
