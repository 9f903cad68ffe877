"""Every decoder of bytes from outside reads or refuses by its own error, in bounded time and memory."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.decoder import Decoder
from tests.fuzz.decoders import DECODERS

NAMES = sorted(DECODERS)
#: Inputs that ask for far more than they are long. Each has cost a decoder its memory, its time or its named error, or might.
HOSTILE = {
    "nested arrays": b"\x91" * 65_000,
    "nested maps": b"\x81\xa1a" * 20_000,
    "four billion items": b"\xdd\xff\xff\xff\xff",
    "four gigabytes": b"\xc6\xff\xff\xff\xff",
    "nested JSON": b"[" * 100_000,
    "nested objects": b'{"a":' * 50_000,
    "digits": b"9" * 100_000,
    "nested TOML": b"a = " + b"[" * 50_000,
    "long TOML number": b"a=" + b"9" * 5_000,
    "dotted TOML key": b"a." * 20_000 + b"a=1",
    "wide CSV": b"id,model\n" + b"x" * 200_000 + b",m",
    "endless PEM": b"-----BEGIN PRIVATE KEY-----\n" * 4_000,
    "named by the million": b'{"name": "n", "package": "p", "terminals": [' + b"1," * 30_000 + b"1]}",
    "words to the settings' library": b'_env_file = "x"',
    "zeros": bytes(100_000),
}
SECONDS_MAX = 2.0  # of this process alone, under a tracer that slows it tenfold
MEMORY_MAX_BYTES = 16 << 20


@st.composite
def _inputs(draw: st.DrawFn, decoder: Decoder) -> bytes:
    """Any bytes, or a well-formed input that was cut, stretched, or changed in some places."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(decoder.seeds())))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(data)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_and_arbitrary_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    DECODERS[name].read(data.draw(_inputs(DECODERS[name])))


@pytest.mark.parametrize("name", NAMES)
def test_well_formed_input_is_read(name: str) -> None:
    """Or the test above would begin with nothing."""
    decoder = DECODERS[name]

    assert any(decoder.read(seed) for seed in decoder.seeds())


@pytest.mark.parametrize("name", NAMES)
def test_no_input_costs_more_than_it_may(name: str) -> None:
    """Memory and processor time stay within bounds for inputs that were made to exceed them."""
    decoder = DECODERS[name]
    decoder.read(b"")  # what is loaded once is not the input's fault
    for hostile, data in HOSTILE.items():
        tracemalloc.start()
        began_s = time.process_time()
        decoder.read(data)
        took_s = time.process_time() - began_s
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert took_s < SECONDS_MAX, hostile
        assert peak_bytes < MEMORY_MAX_BYTES, hostile
