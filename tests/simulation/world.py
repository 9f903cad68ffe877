"""One story: the cast of a seed, its faults, and the run to its end.

``play`` is the way in. It returns how the story ended; a broken invariant, and whatever the core or a terminal's machine
raises, is part of that answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from device_sim.flash import SegmentPool
from device_sim.options import Identity, Options
from device_sim.profiles import load_profile
from device_sim.terminal import Terminal as Device
from gateway.core.effects import SaveTerminal
from gateway.core.snapshot import save
from gateway.core.upgrade import Upgrade
from tests.simulation import cast, strikes
from tests.simulation.broker import Air, Broker, Line
from tests.simulation.clockwork import Clockwork, Entry
from tests.simulation.faults import Fault, Story
from tests.simulation.gateway import Gateway
from tests.simulation.inspector import Inspector
from tests.simulation.judge import BrokenError, Invariant, Judge
from tests.simulation.props import FLOOR, HORIZON_S, MODELS, ORDERS, PUBLISHERS, RELEASES, START
from tests.simulation.station import Station, StepFlash
from tests.simulation.store import Store

#: More than any story has taken; one that takes more is going in circles.
STEPS_MAX: Final = 40_000
_LOOK_EVERY: Final = 64
#: Time after which a story is looked at even if little has happened (seconds).
_LOOK_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a story ended."""

    story: Story
    digest: str
    steps: int
    checks: int
    lasted_s: float
    log: list[Entry]
    broken: BrokenError | None
    states: tuple[str, ...]


@dataclass(slots=True)
class World:
    """All that a story plays with; ``strikes`` break it."""

    story: Story
    clock: Clockwork
    broker: Broker
    judge: Judge
    inspector: Inspector
    store: Store
    gateway: Gateway = field(init=False)
    """The one that owns ``store``."""
    stations: list[Station] = field(default_factory=list)
    forgets: bool = False
    """A backup was restored, or a copy of the store answered."""
    broken: dict[tuple[int, str], tuple[int, object]] = field(default_factory=dict)
    """By object and attribute: how many faults have set it, and what it was before."""
    _gateways: int = 0
    _quiet_at: float = START

    @classmethod
    def of(cls, story: Story) -> World:
        """The world of a story, before its first step."""
        clock, judge = Clockwork(story.seed, START), Judge()
        world = cls(story, clock, Broker(clock), judge, Inspector(judge), Store(judge.commits))
        for index in range(story.terminals):
            world._add(index)
        for fault in story.faults:
            clock.at(START + fault.at_s, lambda fault=fault: world._strike(fault))  # type: ignore[misc]
            world.quiet_after(fault.at_s + fault.for_s)
        world.start_gateway(world.store)
        return world

    def start_gateway(self, store: Store, *, ahead_s: float = 0.0) -> Gateway:
        """Another process of the gateway, which owns ``store`` from now on."""
        self._gateways += 1
        store.owner = self._gateways
        self.gateway = Gateway(self._gateways, self.broker, store, self.judge, ahead_s=ahead_s)
        return self.gateway

    def quiet_after(self, at_s: float) -> None:
        """Something is broken until then."""
        self._quiet_at = max(self._quiet_at, START + at_s)

    def run(self) -> None:
        """To the end; ``BrokenError`` when an invariant does not hold."""
        clock = self.clock
        look_at = self._quiet_at
        while clock.next():
            if clock.now > self._quiet_at and (clock.steps % _LOOK_EVERY == 0 or clock.now > look_at):
                look_at = clock.now + _LOOK_S
                if not self._stuck():
                    break
            if clock.steps > STEPS_MAX or clock.now > START + HORIZON_S:
                break
        if stuck := self._stuck():
            raise BrokenError(Invariant.ALL_END, f"{stuck} after {clock.now - START:.0f} s and {clock.steps} steps")
        for station in self.stations:
            self.inspector.over(station, self.store, forgets=self.forgets)

    def _stuck(self) -> str:
        for station in self.stations:
            if why := self.inspector.stuck(station, self.store):
                return f"{station.name}: {why}"
        return ""

    def _strike(self, fault: Fault) -> None:
        self.clock.note("fault", fault.kind.value, f"T{fault.terminal} {fault.value:.3f} {fault.for_s:.1f} s")
        strikes.strike(self, fault)

    def _add(self, index: int) -> None:
        story, name, rng = self.story, f"T{index}", Random(self.clock.rng.random())
        own = [fault for fault in story.faults if fault.terminal == index]
        identity = Identity(id=name, orders=ORDERS, publishers=PUBLISHERS)
        options = Options(
            floors={"app": FLOOR},
            unix_base_ms=0,
            speed=10.0,
            reconnect_cap_s=60.0,
            credit_bytes=story.credits[index],
            connections=1 if story.singles[index] else 2,
        )
        flash = StepFlash()
        device = Device(
            load_profile(MODELS[story.models[index]]),
            identity,
            flash,
            rng,
            options=cast.options(options, own),
            faults=cast.faults(own),
            pool=SegmentPool(),  # of its own: what another one has verified must not help it
            now=START,
        )
        air = Air(delay_s=story.delay_s, rate_bps=story.rate_bps)
        line = self.broker.lines[name] = Line(name, air)
        station = Station(device, flash, self.broker, line, self.inspector)
        line.deliver = station.deliver
        self.stations.append(station)
        cast.prepare(station, own)
        release = RELEASES[cast.package(own)]
        self.store.upgrades[f"u-{name}"] = save(Upgrade(f"u-{name}", name, release.plan, since=START), 0)
        self.store.terminals[name] = SaveTerminal(terminal=name, epoch=0, online=False, seen_us=0, counter=0)
        self.clock.after(self.clock.rng.uniform(0.0, 3.0), lambda: station.drive(lambda: device.boot(self.clock.now)))


def play(story: Story) -> Outcome:
    """Run a story."""
    world, broken = World.of(story), None
    try:
        world.run()
    except BrokenError as exc:
        broken = exc
    except Exception as exc:  # noqa: BLE001 - whatever it is, it belongs to this seed
        broken = BrokenError(Invariant.NO_BUG, f"{type(exc).__name__}: {exc}")
        broken.__cause__ = exc
    clock = world.clock
    return Outcome(
        story=story,
        digest=clock.digest(),
        steps=clock.steps,
        checks=world.judge.checks,
        lasted_s=clock.now - START,
        log=clock.log,
        broken=broken,
        states=tuple(row.state.value for row in world.store.upgrades.values()),
    )


def part(story: Story, numbers: frozenset[int]) -> Story:
    """The same story with some of its faults only."""
    return replace(story, faults=tuple(fault for fault in story.faults if fault.number in numbers))
