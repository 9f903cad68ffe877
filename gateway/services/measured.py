"""What a campaign has measured of itself, kept for a few seconds, so that a dozen people may watch it for the price of one.

Reading it costs thousands of rows; an estimate does not change within seconds. The cache is bounded, and forgetting is
harmless.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.core.estimate import Goodput, Phase, Range, measured_ranges
from gateway.services import durations
from gateway.services.durations import Spread
from gateway.store import progress, terminals, transfers
from gateway.store.campaigns import CampaignRow
from gateway.store.database import Source
from gateway.store.progress import Timeline
from gateway.store.terminals import TerminalRow
from gateway.store.transfers import TransferTotals

FRESH_US: Final = 5_000_000
CAMPAIGNS_MAX: Final = 64
TIMELINES_MAX: Final = 1000  # upgrades looked at; more would tell little more
_PAGE: Final = 500
_EVER_US: Final = (1 << 62) - 1
_FACTS_COUNT: Final = 200  # terminals whose link and model are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Durations, transfers and facts of (a sample of) one campaign's upgrades."""

    at_us: int
    durations_s: Mapping[str, Sequence[float]]
    """Finished phases, by phase."""
    transfers_s: Sequence[float]
    rat: str
    """The radio technology that all of the sample have; empty when they differ."""
    model: str
    """The same for the model."""
    startable: Mapping[int, int] = field(default_factory=dict)
    """Scheduled upgrades whose terminal is online, by wave: a join over the whole campaign."""

    totals: TransferTotals = transfers.NOTHING
    """What its transfers cost."""
    earlier: Goodput | None = None
    """What transfers of such terminals reached before, in whatever campaign."""

    def ranges(self) -> Mapping[str, Range]:
        """Measured ranges, where there are enough samples."""
        return measured_ranges(self.durations_s)

    def spreads(self) -> Mapping[str, Spread]:
        """What was measured, by phase, however few."""
        return {phase: durations.spread_of(samples) for phase, samples in self.durations_s.items() if samples}

    def goodput(self, size_bytes: int) -> Goodput | None:
        """The rate of this campaign's transfers, before the first the ``earlier`` one.

        ``None`` once whole execute phases are measured, which say more.
        """
        if Phase.EXECUTE.value in self.ranges():
            return None
        return Goodput.of([size_bytes / seconds for seconds in self.transfers_s]) or self.earlier

    @property
    def knows_transfers(self) -> bool:
        """Whether this campaign itself has measured how long transfers take."""
        return bool(self.transfers_s) or Phase.EXECUTE.value in self.ranges()


@dataclass(slots=True)
class MeasuredCache:
    """See the module."""

    _kept: OrderedDict[str, Measured] = field(default_factory=OrderedDict)

    async def of(self, db: Source, row: CampaignRow, now_us: int) -> Measured:
        """What ``row``'s campaign has measured, at most ``FRESH_US`` old."""
        found = self._kept.get(row.id)
        if found is None or not 0 <= now_us - found.at_us < FRESH_US:
            found = self._kept[row.id] = await _measure(db, row, now_us)
            while len(self._kept) > CAMPAIGNS_MAX:
                self._kept.popitem(last=False)
        self._kept.move_to_end(row.id)
        return found


def shared(rows: Sequence[TerminalRow]) -> tuple[str, str]:
    """Radio technology and model that all of ``rows`` have; each empty when they differ or nothing is known."""
    rats = {row.facts.rat for row in rows if row.facts is not None}
    models = {row.model for row in rows}
    return (rats.pop() if len(rats) == 1 else "", models.pop() if len(models) == 1 else "")


async def earlier_goodput(db: Source, *, model: str, rat: str) -> Goodput | None:
    """What the newest transfers of such terminals reached; without any, of the model alone, then of the radio technology."""
    for kind in ((model, rat), (model, ""), ("", rat)):
        found = Goodput.of(await transfers.rates_of_kind(db, model=kind[0], rat=kind[1])) if any(kind) else None
        if found is not None:
            return found
    return None


async def _measure(db: Source, row: CampaignRow, now_us: int) -> Measured:
    found: list[Timeline] = []
    after = ""
    while len(found) < TIMELINES_MAX:
        page = await progress.timelines(db, row.id, after=after, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            break
        after = page[-1].terminal
    sample = await terminals.load(db, [timeline.terminal for timeline in found[:_FACTS_COUNT]])
    rat, model = shared(list(sample.values()))
    ways = [timeline.steps for timeline in found]
    return Measured(
        at_us=now_us,
        durations_s=durations.samples(ways, now_us, from_us=row.started_us or row.created_us),
        transfers_s=durations.transfer_times(ways),
        rat=rat,
        model=model,
        totals=await transfers.of_campaign(db, row.id),
        earlier=await earlier_goodput(db, model=model, rat=rat),
        startable=await progress.startable(db, row.id, _EVER_US),
    )
