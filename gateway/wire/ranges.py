"""RangeSet: a set of integers kept as ascending, disjoint, non-touching half-open ranges (as aioquic's and h2's windows do)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from gateway.errors import WireError


class RangeSet:
    """Blocks or segments held, wanted or in flight. Costs memory per gap, not per element."""

    __slots__ = ("_starts", "_stops")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in ranges:
            self.add(start, stop)

    def add(self, start: int, stop: int) -> None:
        """Put ``start..stop-1`` in; touching ranges merge."""
        if start >= stop:
            return

        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def remove(self, start: int, stop: int) -> None:
        """Take ``start..stop-1`` out."""
        if start >= stop:
            return

        first = bisect_right(self._stops, start)
        last = bisect_left(self._starts, stop)
        if first >= last:
            return

        starts: list[int] = []
        stops: list[int] = []
        if self._starts[first] < start:
            starts.append(self._starts[first])
            stops.append(start)
        if self._stops[last - 1] > stop:
            starts.append(stop)
            stops.append(self._stops[last - 1])
        self._starts[first:last] = starts
        self._stops[first:last] = stops

    def covers(self, start: int, stop: int) -> bool:
        """Whether all of ``start..stop-1`` is in."""
        if start >= stop:
            return True

        at = bisect_right(self._starts, start) - 1
        return at >= 0 and self._stops[at] >= stop

    def gaps(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The ranges of ``start..stop-1`` that are not in, ascending."""
        at = start
        for index in range(bisect_right(self._stops, start), bisect_left(self._starts, stop)):
            if self._starts[index] > at:
                yield at, self._starts[index]
            at = self._stops[index]
        if at < stop:
            yield at, stop

    @property
    def first(self) -> tuple[int, int] | None:
        """The lowest range, or ``None`` when empty."""
        return (self._starts[0], self._stops[0]) if self._starts else None

    @property
    def last_stop(self) -> int:
        """One past the highest element; 0 when empty."""
        return self._stops[-1] if self._stops else 0

    @property
    def count(self) -> int:
        """How many integers are in."""
        return sum(self._stops) - sum(self._starts)

    def to_wire(self, limit: int) -> tuple[tuple[int, int], ...]:
        """The first ``limit`` ranges, as they go on the air."""
        return tuple(zip(self._starts[:limit], self._stops[:limit], strict=True))

    @classmethod
    def from_wire(cls, ranges: tuple[tuple[int, int], ...], *, stop: int) -> RangeSet:
        """Ranges from the air; ``WireError`` (``ranges_invalid``) unless ascending, disjoint and below ``stop``."""
        at = -1
        for begin, end in ranges:
            if begin <= at or end <= begin or end > stop:
                raise WireError(f"ranges must ascend without touching, below {stop}; got {ranges[:8]!r}", code="ranges_invalid")
            at = end
        out = cls()
        out._starts = [begin for begin, _ in ranges]
        out._stops = [end for _, end in ranges]
        return out

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._stops, strict=True))

    def __len__(self) -> int:
        return len(self._starts)

    def __contains__(self, item: int) -> bool:
        return self.covers(item, item + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._starts == other._starts and self._stops == other._stops

    __hash__ = None  # type: ignore[assignment]  # mutable, so it must not be a key

    def __repr__(self) -> str:
        return f"RangeSet({list(self)!r})"
