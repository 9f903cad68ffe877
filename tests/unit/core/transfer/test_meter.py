"""What a transfer measures of itself."""

from __future__ import annotations

import pytest

from gateway.core.transfer.account import PauseCause
from gateway.core.transfer.meter import ACK_BYTES, CHUNK_HEAD_BYTES, Meter
from gateway.wire.messages import Ack

KIB = 1024


def ack(echo_s: float = 0.0) -> Ack:
    """Only its echo matters here."""
    return Ack(
        transfer=1, epoch=1, seq=1, number=1, cum=1, ranges=(), credit_bytes=99, delay_ms=0, echo_ms=round(echo_s * 1000)
    )


def flow(meter: Meter, start: float, seconds: float, rate_bps: int, *, held: int = 0) -> int:
    """Acks every 100 ms at a steady rate; what is held at the end."""
    for step in range(round(seconds * 10)):
        now = start + step / 10
        held += rate_bps // 10
        meter.heard(ack(now - 0.08), rate_bps // 10, held, now)
    return held


def test_a_steady_link_is_measured_as_it_is() -> None:
    """Rate and round trip."""
    meter = Meter(0.0)
    flow(meter, 1.0, 10, 100_000)
    assert meter.goodput_bps == pytest.approx(100_000, rel=0.02)
    assert meter.srtt_s == pytest.approx(0.08, rel=0.02)
    quantiles = meter.account(11.0).goodput_bps
    assert quantiles is not None
    assert quantiles.p10 == pytest.approx(100_000, rel=0.05)


@pytest.mark.parametrize("cause", list(PauseCause))
def test_a_pause_is_no_slow_link(cause: PauseCause) -> None:
    """Neither the pause itself nor the round trip after it."""
    meter = Meter(0.0)
    held = flow(meter, 1.0, 5, 100_000)
    meter.stands(cause, 6.0)
    meter.heard(ack(6.5), 5_000, held, 6.5)
    meter.stands(None, 9.0)
    flow(meter, 9.2, 5, 100_000, held=held)
    assert meter.goodput_bps == pytest.approx(100_000, rel=0.02)
    assert meter.account(20.0).pauses == {cause.value: pytest.approx(meter.account(20.0).pauses[cause.value])}
    assert meter.account(20.0).pauses[cause.value].seconds == pytest.approx(3.0)


def test_a_pause_that_lasts_is_told_while_it_lasts() -> None:
    """An operator looks in the middle of it."""
    meter = Meter(0.0)
    meter.stands(PauseCause.PAYMENT, 5.0)
    found = meter.account(7.0).pauses[PauseCause.PAYMENT]
    assert (found.count, found.seconds) == (1, 2.0)


def test_long_silence_counts_as_a_pause() -> None:
    """An open transfer is acked every three seconds at the least."""
    meter = Meter(0.0)
    flow(meter, 1.0, 1, 50_000)
    meter.heard(ack(), 0, 0, 4.9)
    assert not meter.account(5.0).pauses
    meter.heard(ack(), 0, 0, 64.9)
    assert meter.account(65.0).pauses[PauseCause.SILENCE].seconds == pytest.approx(60.0)


def test_what_goes_out_again_is_counted_apart() -> None:
    """Chunks go out lowest first, so what is below the highest was sent before."""
    meter = Meter(0.0)
    for start in (0, 4, 8):
        meter.sent(start, start + 4, 4 * KIB)
    meter.sent(4, 8, 4 * KIB)
    account = meter.account(1.0)
    assert (account.sent_bytes, account.resent_bytes, account.chunks) == (16 * KIB, 4 * KIB, 4)
    assert account.overhead_bytes == 4 * CHUNK_HEAD_BYTES


def test_bytes_lost_with_the_power_are_useful_once() -> None:
    """What is held may fall; what was of use does not rise twice for the same bytes."""
    meter = Meter(0.0)
    for held in (100, 300, 200, 300, 400):
        meter.heard(ack(), 1, held, 1.0)
    assert meter.useful_bytes == 400
    assert meter.account(1.0).overhead_bytes == 5 * ACK_BYTES


def test_a_restart_of_the_gateway_keeps_the_account() -> None:
    """Packed, unpacked, and gone on with."""
    meter = Meter(3.0)
    meter.connected()
    meter.sent(0, 16, 16 * KIB)
    held = flow(meter, 4.0, 5, 100_000)
    meter.queued(35.0)
    meter.stands(PauseCause.PAYMENT, 9.0)
    packed = meter.pack(10.0)
    again = Meter.unpack(packed)
    assert again.account(10.0) == meter.account(10.0)
    assert again.pack(10.0) == packed

    again.sent(0, 16, 16 * KIB)
    flow(again, 12.0, 1, 100_000, held=held)
    assert again.resent_bytes == 16 * KIB
    assert again.useful_bytes == meter.useful_bytes + 100_000
    assert again.started_at == 3.0
