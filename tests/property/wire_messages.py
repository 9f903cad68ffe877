"""A Hypothesis strategy for every message of the wire: everything that it may hold, the limits themselves included.

``STRATEGIES`` has one by kind; ``test_wire_codec.py`` fails when a kind has none.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from gateway.wire import messages as m
from gateway.wire.codec import MAX_ACK_RANGES, MAX_BODY_BYTES, MAX_CHUNK_BYTES, MAX_HAVE_RANGES, MAX_SEGMENTS
from gateway.wire.codes import Code, OrderKind, Phase, ResultStatus, What
from gateway.wire.fields import MAX_INTEGER, MAX_TEXT_CHARS, U32
from gateway.wire.ranges import RangeSet

BLOCKS: Final = MAX_SEGMENTS * m.BLOCKS_PER_SEGMENT


def _texts(limit: int, *, least: int = 0) -> st.SearchStrategy[str]:
    few = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=least, max_size=min(limit, 12))
    return few | st.sampled_from("x\u6536\U0001f4b3").map(lambda letter: letter * limit)


def _range_tuples(limit: int, stop: int) -> st.SearchStrategy[tuple[tuple[int, int], ...]]:
    spans = st.lists(st.tuples(st.integers(0, stop - 1), st.integers(1, 64)), max_size=limit)
    return spans.map(lambda found: RangeSet((start, min(start + size, stop)) for start, size in found).to_wire(limit))


IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
NAMES = _texts(64, least=1)
COUNTS = st.integers(0, 9) | st.integers(0, MAX_INTEGER)
POSITIVE = st.integers(1, 9) | st.integers(1, MAX_INTEGER)
SMALL = st.integers(0, U32)
STAMPS = st.integers(-MAX_INTEGER, MAX_INTEGER)
SCALARS = (
    st.none()
    | st.booleans()
    | STAMPS
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts(MAX_TEXT_CHARS)
    | st.binary(max_size=40)
    | st.sampled_from(Code)
)
VALUES: st.SearchStrategy[Any] = (
    SCALARS
    | st.lists(SCALARS, max_size=4).map(tuple)
    | st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=3).map(tuple), max_size=4)
)
FREE_FORM = st.dictionaries(NAMES, VALUES, max_size=5)

FACTS = st.builds(
    m.Facts,
    model=NAMES,
    components=st.dictionaries(NAMES, _texts(64), max_size=16),
    floors=st.dictionaries(NAMES, COUNTS, max_size=16),
    slot=_texts(8),
    battery_pct=st.integers(0, 100),
    charging=st.booleans(),
    storage_free_bytes=COUNTS,
    rat=_texts(16),
    rssi_dbm=st.integers(-200, 0),
    operator=_texts(64),
    time_zone=_texts(64),
    clock_ms=COUNTS,
    in_transaction=st.booleans(),
    unsettled_count=SMALL,
    single_connection=st.booleans(),
)
OPEN_UPGRADES = st.builds(
    m.OpenUpgrade,
    id=IDS,
    phase=st.sampled_from(Phase),
    transfer=COUNTS,
    have=_range_tuples(MAX_HAVE_RANGES, MAX_SEGMENTS),
    seq=SMALL,
)


@st.composite
def _acks(draw: st.DrawFn) -> m.Ack:
    cum = draw(st.integers(0, 9) | st.integers(0, BLOCKS))
    above = RangeSet(draw(_range_tuples(MAX_ACK_RANGES, BLOCKS)))
    above.remove(0, cum + 1)
    return m.Ack(
        transfer=draw(POSITIVE),
        epoch=draw(COUNTS),
        seq=draw(COUNTS),
        number=draw(COUNTS),
        cum=cum,
        ranges=above.to_wire(MAX_ACK_RANGES),
        credit_bytes=draw(SMALL),
        delay_ms=draw(STAMPS),
        echo_ms=draw(STAMPS),
        foreground=draw(st.booleans()),
        pause_seq=draw(SMALL),
    )


@st.composite
def _receipts(draw: st.DrawFn) -> m.Receipt:
    upgrade = draw(st.just("") | IDS)
    seqs = draw(st.lists(st.integers(1, U32), max_size=9)) if upgrade else []
    return m.Receipt(upgrade=upgrade, seqs=tuple(seqs), orders=tuple(draw(st.lists(IDS, max_size=9))))


STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "presence": st.builds(m.Presence, epoch=COUNTS, online=st.booleans()),
    "hello": st.builds(m.Hello, epoch=COUNTS, counter=COUNTS, facts=FACTS, upgrade=st.none() | OPEN_UPGRADES),
    "report": st.builds(
        m.Report,
        upgrade=IDS,
        seq=st.integers(1, U32),
        what=st.sampled_from(What),
        code=st.sampled_from(Code),
        detail=FREE_FORM,
        at_ms=COUNTS,
    ),
    "ack": _acks(),
    "result": st.builds(
        m.Result,
        order=IDS,
        status=st.sampled_from(ResultStatus),
        code=st.sampled_from(Code),
        data=FREE_FORM,
        at_ms=COUNTS,
    ),
    "log": st.builds(m.Log, upload=POSITIVE, index=SMALL, data=st.binary(max_size=99), last=st.booleans()),
    "welcome": st.builds(
        m.Welcome,
        epoch=COUNTS,
        now_ms=COUNTS,
        keepalive_s=st.integers(10, 3600),
        reconnect_hint_ms=st.integers(0, 3_600_000),
        ack_every=st.integers(1, 64),
        ack_delay_ms=st.integers(1, 10_000),
        chunk_max_bytes=st.integers(1024, 16_384),
        hello=st.booleans(),
    ),
    "order": st.builds(
        m.Signed,
        body=st.binary(min_size=1, max_size=99) | st.just(b"b" * MAX_BODY_BYTES),
        signature=st.binary(min_size=64, max_size=64),
        key=st.text("0123456789abcdef", min_size=16, max_size=16),
    ),
    "chunk": st.builds(
        m.Chunk,
        transfer=POSITIVE,
        number=POSITIVE,
        index=st.integers(0, BLOCKS - 1),
        stamp_ms=STAMPS,
        data=st.binary(min_size=1, max_size=99) | st.just(b"d" * MAX_CHUNK_BYTES),
    ),
    "receipt": _receipts(),
}
MESSAGES = st.one_of(*STRATEGIES.values())
ORDERS = st.builds(
    m.Order,
    id=IDS,
    counter=POSITIVE,
    shard_epoch=COUNTS,
    terminal=IDS,
    kind=st.sampled_from(OrderKind),
    args=FREE_FORM,
    not_before_ms=COUNTS,
    not_after_ms=COUNTS,
)
