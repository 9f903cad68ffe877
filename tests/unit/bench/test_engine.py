"""Figures of the engine's benchmark come from the right samples."""

from __future__ import annotations

from bench.engine import CHUNK_BYTES, ENVELOPE_BYTES, Cost, Run
from bench.rig.house import Sample


def _sample(at: float, chunks: int, cpu_s: float = 0.0, chunk_bytes: int = CHUNK_BYTES) -> Sample:
    counters = {"chunks_sent": chunks, "chunk_bytes": chunks * (chunk_bytes + ENVELOPE_BYTES)}
    return Sample(at=at, cpu_s=cpu_s, rss_bytes=0, counters=counters)


def test_a_part_reaches_from_the_last_sample_before_its_chunks_to_the_first_with_all() -> None:
    samples = [_sample(at, chunks) for at, chunks in enumerate((0, 0, 10, 50, 95, 100, 100))]
    run = Run(samples=samples, upgraded=1, entries=1)

    assert [sample.at for sample in run.part(0, 1)] == [1, 5]
    assert [sample.at for sample in run.part(0.1, 0.9)] == [2, 4]


def test_small_chunks_do_not_count_for_more() -> None:
    """Sixteen chunks of 1 KiB are as much as one of 16."""
    cost = Cost(_sample(0.0, 0), _sample(2.0, 1600, cpu_s=0.5, chunk_bytes=1024))
    assert cost.full_chunks == 100
    assert cost.full_chunks_per_cpu_s == 200
