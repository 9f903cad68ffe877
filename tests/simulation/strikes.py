"""What each kind of fault does to the world at its time; what is broken from the start is in ``cast``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.trust.orders import sign_order
from gateway.wire.codec import encode
from gateway.wire.codes import OrderKind
from gateway.wire.messages import Order
from tests.simulation.faults import Fault, Kind
from tests.simulation.props import ORDER_KEY, START, STRANGER_KEY
from tests.simulation.station import KEEPALIVE_S, Station
from tests.simulation.store import OrderRow

if TYPE_CHECKING:
    from tests.simulation.world import World

_TOPICS: Final = ("presence", "hello", "report", "order", "welcome", "receipt", "ack")


def strike(world: World, fault: Fault) -> None:
    """Break what ``fault`` says; what is broken from the start is passed over."""
    blow = _BLOWS.get(fault.kind)
    if blow is not None:
        blow(world, fault)


def _line(world: World, fault: Fault) -> Station:
    return world.stations[fault.terminal]


def _for_a_while(world: World, fault: Fault, target: object, name: str, broken: object) -> None:
    """Set an attribute now, and back when the last fault of its sort is over."""
    key = (id(target), name)
    under_way, whole = world.broken.get(key, (0, getattr(target, name)))
    world.broken[key] = (under_way + 1, whole)
    setattr(target, name, broken)

    def mend() -> None:
        under_way, whole = world.broken.pop(key)
        if under_way > 1:
            world.broken[key] = (under_way - 1, whole)
        else:
            setattr(target, name, whole)

    world.clock.after(fault.for_s, mend)


def _air(name: str, broken: Callable[[Fault], object]) -> Callable[[World, Fault], None]:
    return lambda world, fault: _for_a_while(world, fault, _line(world, fault).line.air, name, broken(fault))


def _losing(what: str) -> Callable[[World, Fault], None]:
    def blow(world: World, fault: Fault) -> None:
        lose = _line(world, fault).line.air.lose
        lose[what] = 0.1 + 0.9 * fault.value
        world.clock.after(fault.for_s, partial(lose.__setitem__, what, 0.0))

    return blow


def _store(name: str, broken: object) -> Callable[[World, Fault], None]:
    return lambda world, fault: _for_a_while(world, fault, world.store, name, broken)


def _break(world: World, fault: Fault) -> None:
    station = _line(world, fault)
    station.break_bulk()
    station.break_control()


def _no_coverage(world: World, fault: Fault) -> None:
    _for_a_while(world, fault, _line(world, fault).line.air, "covered", False)
    _break(world, fault)


def _half_open(world: World, fault: Fault) -> None:
    for_s = min(fault.for_s, KEEPALIVE_S)
    world.quiet_after(fault.at_s + for_s)
    _line(world, fault).half_open(for_s)


def _slow_topic(world: World, fault: Fault) -> None:
    air = _line(world, fault).line.air
    air.slow_s = 0.5 + 20 * fault.value * fault.value
    _for_a_while(world, fault, air, "slow_kind", _TOPICS[int(fault.value * 7000) % len(_TOPICS)])


def _late_will(world: World, fault: Fault) -> None:
    _line(world, fault).line.air.late_will_s = 30 + 300 * fault.value
    _break(world, fault)


def _replay(world: World, fault: Fault) -> None:
    station = _line(world, fault)
    if station.old_orders:
        station.inject(station.old_orders[int(fault.value * len(station.old_orders))])


def _forge(world: World, fault: Fault, *, key: bytes, terminal: str) -> None:
    """As a gateway would: a high counter, the newest epoch, the next order of the upgrade that is under way."""
    station = _line(world, fault)
    now_ms = int(world.clock.now * 1000)
    kind = (OrderKind.REBOOT, OrderKind.UPGRADE_COMMIT, OrderKind.UPGRADE_CANCEL)[int(fault.value * 3)]
    order = Order(
        id=f"forged-{fault.number}",
        counter=1000 + fault.number,
        shard_epoch=world.gateway.epoch,
        terminal=terminal or station.name,
        kind=kind,
        args={"u": f"u-{station.name}", "code": "cancelled_by_operator"},
        not_before_ms=now_ms - 1000,
        not_after_ms=now_ms + 3_600_000,
    )
    station.inject(encode(sign_order(order, key)))


def _broker_dies(world: World, fault: Fault, *, wiped: bool) -> None:
    broker = world.broker
    if not broker.is_up:
        return
    broker.die(wiped=wiped)
    world.gateway.disconnect(control=True, again_s=fault.for_s)
    world.gateway.disconnect(control=False, again_s=fault.for_s)
    world.clock.after(fault.for_s, partial(setattr, broker, "is_up", True))
    for station in world.stations:
        world.clock.after(0.01, station.lose_all)


def _broker_stalls(world: World, fault: Fault) -> None:
    world.broker.stalled_until = max(world.broker.stalled_until, world.clock.now + min(fault.for_s, 30.0))


def _session_lost(world: World, fault: Fault) -> None:
    station = _line(world, fault)
    station.break_control()
    station.line.session = None


def _queue(drops: str) -> Callable[[World, Fault], None]:
    def blow(world: World, fault: Fault) -> None:
        world.broker.drops = drops
        _for_a_while(world, fault, world.broker, "queue_max", 1 + int(fault.value * 4))

    return blow


def _restart(world: World, fault: Fault, ahead_s: float = 0.0) -> None:
    """Its supervisor starts it again, after a moment."""
    world.quiet_after(world.clock.now - START + 10)

    def start() -> None:
        if not world.gateway.alive:
            world.start_gateway(world.store, ahead_s=ahead_s)

    world.clock.after(0.5 + 3 * fault.value, start)


def _kill(world: World, fault: Fault, *, ahead_s: float = 0.0) -> None:
    if world.gateway.alive:
        world.gateway.kill()
        _restart(world, fault, ahead_s)


def _dies_at(world: World, fault: Fault, *, after: bool) -> None:
    gateway = world.gateway
    gateway.executor.dies_in, gateway.executor.dies_after = 1 + int(fault.value * 8), after
    gateway.on_death = partial(_restart, world, fault)


def _zombie(world: World, fault: Fault) -> None:
    """It stops right after a commit, its heir takes the store over, and it goes on with what it had to send."""
    gateway = world.gateway
    sleeps_s = 30.0 + fault.for_s / 10
    executor = gateway.executor
    executor.dies_in, executor.dies_after, executor.sleeps_s = 1 + int(fault.value * 8), True, sleeps_s

    def inherit() -> None:
        if world.gateway is gateway:
            world.quiet_after(world.clock.now - START + sleeps_s + 60)
            world.clock.after(3.0 + 20 * fault.value, lambda: _succeed(world, gateway, sleeps_s + 60))

    executor.on_sleep = inherit


def _cloned(world: World, fault: Fault) -> None:
    """Somebody starts a second gateway on a copy of the store; the first one, on its own, is found and stopped later."""
    old = world.gateway
    if not old.alive:
        return
    world.forgets = True
    own = old.store = world.store.copy()
    own.owner = old.number
    _succeed(world, old, 30 + fault.for_s)


def _succeed(world: World, old: object, for_s: float) -> None:
    if world.gateway is not old or not world.gateway.alive:
        return
    outlived = world.gateway
    world.quiet_after(world.clock.now - START + for_s + 10)
    world.clock.after(for_s, lambda: outlived.kill() if outlived is not world.gateway else None)
    outlived.on_death = lambda: None
    world.start_gateway(world.store)


def _restored(world: World, fault: Fault) -> None:
    """A backup of now is what a later gateway begins with."""
    backup = world.store.copy()

    def restore() -> None:
        if world.gateway.alive:
            world.forgets = True
            world.gateway.kill()
            backup.put_back(world.store, int(world.clock.now * 1e6))
            world.store = backup
            _restart(world, fault)

    world.quiet_after(fault.at_s + fault.for_s + 20)
    world.clock.after(fault.for_s, restore)


def _power_cut(world: World, fault: Fault) -> None:
    station = _line(world, fault)
    station.drive(lambda: station.device.power_cut(world.clock.now, fault.for_s))


def _clock_steps(world: World, fault: Fault) -> None:
    clock = _line(world, fault).device.board.clock
    clock.base_ms += (fault.value - 0.5) * 2 * 400 * 86_400_000


def _storage_full(world: World, fault: Fault) -> None:
    board = _line(world, fault).device.board
    _for_a_while(world, fault, board, "options", replace(board.options, storage_used_bytes=board.profile.storage_bytes))


def _abort(world: World, fault: Fault) -> None:
    store = world.store
    store.aborted.add(store.upgrades[f"u-{_line(world, fault).name}"].campaign)
    world.gateway.campaigns.look()


def _order(world: World, fault: Fault, *, kind: OrderKind) -> None:
    name = f"o-{fault.number}"
    expires_at = world.clock.now + 600 + 3600 * fault.value
    row = OrderRow(id=name, terminal=_line(world, fault).name, kind=kind, args={}, expires_at=expires_at)
    world.store.orders[name] = row
    world.gateway.campaigns.look()


_BLOWS: Final[dict[Kind, Callable[[World, Fault], None]]] = {
    Kind.BREAK: _break,
    Kind.BULK_BREAK: lambda world, fault: _line(world, fault).break_bulk(),
    Kind.HALF_OPEN: _half_open,
    Kind.NO_COVERAGE: _no_coverage,
    Kind.LOSE_UP: _losing("up"),
    Kind.LOSE_DOWN: _losing("down"),
    Kind.LOSE_CHUNKS: _losing("chunk"),
    Kind.LOSE_ACKS: _losing("ack"),
    Kind.BAD_CHUNKS: _air("bad_chunks", lambda fault: 0.02 + 0.1 * fault.value),
    Kind.DUPLICATE: _air("twice", lambda fault: 0.1 + 0.9 * fault.value),
    Kind.SLOW_TOPIC: _slow_topic,
    Kind.SLOW_LINK: _air("rate_bps", lambda _: 1000.0),
    Kind.LATE_WILL: _late_will,
    Kind.REPLAYED_ORDER: _replay,
    Kind.FORGED_ORDER: partial(_forge, key=STRANGER_KEY, terminal=""),
    Kind.MISDIRECTED_ORDER: partial(_forge, key=ORDER_KEY, terminal="T9"),
    Kind.BROKER_KILLED: partial(_broker_dies, wiped=False),
    Kind.BROKER_WIPED: partial(_broker_dies, wiped=True),
    Kind.BROKER_STALLS: _broker_stalls,
    Kind.SESSION_LOST: _session_lost,
    Kind.QUEUE_NEWEST: _queue("newest"),
    Kind.QUEUE_OLDEST: _queue("oldest"),
    Kind.QUEUE_ALL: _queue("all"),
    Kind.KILLED: _kill,
    Kind.KILLED_BEFORE: partial(_dies_at, after=False),
    Kind.KILLED_AFTER: partial(_dies_at, after=True),
    Kind.PAUSED: lambda world, fault: world.gateway.pause(min(fault.for_s, 40.0)),
    Kind.ZOMBIE: _zombie,
    Kind.CLONED: _cloned,
    Kind.LINK_LOST: lambda world, fault: world.gateway.disconnect(control=True, again_s=5 * fault.value),
    Kind.BULK_LINK_LOST: lambda world, fault: world.gateway.disconnect(control=False, again_s=5 * fault.value),
    Kind.CLOCK_AHEAD: lambda world, fault: _kill(world, fault, ahead_s=7200 * fault.value),
    Kind.CLOCK_BEHIND: lambda world, fault: _kill(world, fault, ahead_s=-7200 * fault.value),
    Kind.PACKAGE_UNREADABLE: lambda world, fault: _for_a_while(world, fault, world.gateway.pump, "readable", False),
    Kind.DISK_FULL: _store("full", True),
    Kind.STORE_SLOW: _store("commit_s", 1.0),
    Kind.STORE_UNREADABLE: _store("unreadable", True),
    Kind.STORE_RESTORED: _restored,
    Kind.COMMIT_IN_DOUBT: _store("doubtful", True),
    Kind.POWER_CUT: _power_cut,
    Kind.CLOCK_STEPS: _clock_steps,
    Kind.STORAGE_FULL: _storage_full,
    Kind.CANCELLED: _abort,
    Kind.INSPECT: partial(_order, kind=OrderKind.INSPECT),
    Kind.REBOOT: partial(_order, kind=OrderKind.REBOOT),
}
