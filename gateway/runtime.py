"""The composition root: opens store, link, engine and API, runs them in one task group, and closes them in order.

Nothing else in the house starts a task. Every task here runs until it is cancelled; one that ends by an error ends the process,
because a gateway with a missing limb looks alive and is not.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import structlog

from gateway.api.app import create_app
from gateway.api.server import HttpServer
from gateway.config import Settings
from gateway.core.admission import Admission
from gateway.core.attendance import Terms
from gateway.core.budgets import Defaults, Limit
from gateway.core.events import BudgetSpent
from gateway.core.limits import Limits, Rates
from gateway.core.terminal import Terminal
from gateway.engine.budgets import Budgets
from gateway.engine.campaigns import Campaigns
from gateway.engine.clock import SystemClock
from gateway.engine.dispatcher import CONTROL_KINDS, Dispatcher
from gateway.engine.easing import Easing
from gateway.engine.executor import Executor
from gateway.engine.hearing import Hearing
from gateway.engine.limiter import Limiter
from gateway.engine.orders import Orders
from gateway.engine.plans import Plans
from gateway.engine.pump import Pump
from gateway.engine.recovery import Recovery
from gateway.engine.sessions import Sessions
from gateway.engine.shelf import Shelf
from gateway.engine.timers import Timers
from gateway.link.garbage import calm_collector
from gateway.link.mqtt import MqttLink
from gateway.link.settings import LinkSettings
from gateway.packages.ingest import sweep
from gateway.services import seals
from gateway.services.context import Services
from gateway.store import backup, meta
from gateway.store.database import Database
from gateway.store.doorbell import Doorbell
from gateway.store.writer import Writer
from gateway.trust.keys import KeyRing, public_of
from gateway.trust.seals import sign_seal

log = structlog.get_logger()

#: How long a shutdown waits for commits under way and open HTTP requests (seconds).
SHUTDOWN_S: Final = 10.0
#: A commit that takes longer is said by ``/readyz`` (seconds).
SLOW_COMMIT_S: Final = 5.0


@dataclass(slots=True)
class Gateway:
    """All parts of a running gateway, plugged together."""

    writer: Writer
    control: MqttLink
    bulk: MqttLink
    sessions: Sessions
    executor: Executor
    pump: Pump
    timers: Timers
    dispatcher: Dispatcher
    budgets: Budgets
    easing: Easing
    campaigns: Campaigns
    orders: Orders
    recovery: Recovery
    hearing: Mapping[str, Hearing]
    services: Services
    counters: Counter[str]
    user: str
    """Whom the broker knows us as."""

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[object]]]:
        """Every long task by its name."""
        return {
            "store.writer": self.writer.run,
            "link.control": self.control.run,
            "link.bulk": self.bulk.run,
            "engine.executor": self.executor.run,
            "engine.pump": self.pump.run,
            "engine.control": lambda: self.dispatcher.run_control(self.control),
            "engine.bulk": lambda: self.dispatcher.run_bulk(self.bulk),
            "engine.timers": lambda: self.dispatcher.run_timers(self.control, self.bulk),
            "engine.births": self.dispatcher.run_births,
            "engine.budgets": self.budgets.run,
            "engine.easing": self.easing.run,
            "engine.campaigns": self.campaigns.run,
            "engine.orders": self.orders.run,
            "engine.recovery": self.recovery.run,
            "ledger.seals": lambda: seals.run(self.services),
            **{f"engine.hearing.{name}": hearing.run for name, hearing in self.hearing.items()},
        }

    def not_ready(self) -> list[str]:
        """Why the gateway cannot do its work now; empty when it can."""
        reasons = [
            f"the {name} connection to the broker is down: {link.reason or 'connecting'}"
            for name, link in (("control", self.control), ("bulk", self.bulk))
            if not link.connected
        ]
        reasons += [
            f"the {name} connection is up but hears nothing: the broker's rules keep its subscriptions from {self.user}"
            for name, hearing in self.hearing.items()
            if hearing.deaf
        ]
        if self.executor.failing:
            reasons.append(f"the store does not take commits: {self.executor.failing}")
        elif self.executor.saving_s >= SLOW_COMMIT_S:
            reasons.append(f"the store is slow: a commit has been under way for {self.executor.saving_s:.0f} s")
        return reasons

    def stats(self) -> dict[str, int]:
        """Counters by name, for people and tests."""
        out = dict(self.counters)
        for name, link in (("control", self.control), ("bulk", self.bulk)):
            out |= {f"link.{name}.{key}": value for key, value in link.counters.items()}
        writer = self.writer.statistics()
        return out | {
            "sessions": len(self.sessions),
            "transfers_open": self.pump.open_count,
            "births_waiting": self.dispatcher.births_waiting,
            "executor_queue": self.executor.depth,
            "executor_queue_peak": self.executor.peak,
            "writer_queued_rows": writer.queued_rows,
            "writer_last_commit_us": writer.last_commit_us,
            "writer_failed_groups": writer.failed_groups,
        }


async def serve(settings: Settings) -> None:
    """Run a gateway until SIGINT or SIGTERM, then stop it in order.

    Raises:
        ConfigError: a key, token or file is missing or wrong.
        StoreInUseError: another gateway has the store open.
        StoreError: the store cannot be opened.
    """
    async with AsyncExitStack() as stack:
        gateway, server = await _build(settings, stack)
        server.bind()
        async with anyio.create_task_group() as tasks:
            for name, run in gateway.tasks().items():
                tasks.start_soon(_for_ever, name, run, name=name)
            http = anyio.CancelScope()
            tasks.start_soon(_within, http, server.run, name="api")
            calm_collector()
            log.info("started", store=str(settings.store_path), http_port=server.port, pid=os.getpid())
            await _stop_signal()
            # In order: no new requests, then the last commits of what was decided, then everything else.
            log.info("stopping")
            http.cancel()
            with anyio.move_on_after(SHUTDOWN_S):
                await gateway.executor.flush()
                await gateway.budgets.close()
            tasks.cancel_scope.cancel()
    log.info("stopped")


async def _for_ever(name: str, run: Callable[[], Awaitable[object]]) -> None:
    """A task that returns is as broken as one that raises."""
    await run()
    raise AssertionError(name)


async def _within(scope: anyio.CancelScope, run: Callable[[], Awaitable[object]]) -> None:
    with scope:
        await run()


async def _stop_signal() -> None:
    """Return at the first SIGINT or SIGTERM."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            log.info("signal", name=signal.Signals(number).name)
            return


async def _build(settings: Settings, stack: AsyncExitStack) -> tuple[Gateway, HttpServer]:
    clock = SystemClock()
    counters: Counter[str] = Counter()
    ring = KeyRing(settings.publisher_keys())
    order_key = settings.order_key()
    settings.bearer_token()  # say what is missing before anything is opened
    db = await stack.enter_async_context(Database.open(settings.store_path))
    settings.packages_path.mkdir(parents=True, exist_ok=True)
    sweep(settings.packages_path)
    writer = Writer(db)
    doorbell = Doorbell()
    rates = Rates(control_per_s=settings.terminal_messages_per_s, acks_per_s=settings.terminal_acks_per_s)
    limiter = Limiter(Limits(rates), clock, counters)
    filters = [f"tg1/up/+/+/{kind}" for kind in sorted(CONTROL_KINDS)]
    control = MqttLink(link_settings(settings, settings.broker_client_id, filters, 1), admit=limiter.admit)
    bulk = MqttLink(link_settings(settings, f"{settings.broker_client_id}.b", ["tg1/up/+/+/ack"], 0), admit=limiter.admit)
    plans = Plans(db, ring)
    # Terminals refuse an older life of this gateway; with the time in it, the epoch is ahead of any backup too.
    epoch = await meta.raise_counter(db, backup.EPOCH_KEY, least=int(clock.now()))
    sessions = Sessions(db, plans, await _terms(settings, db, epoch), counters)
    shelf = Shelf(settings.packages_path)
    stack.callback(shelf.close)
    defaults = _defaults(settings)
    budgets = Budgets(db, writer, clock, defaults, counters)
    pump = Pump(
        bulk,
        shelf,
        clock,
        budgets,
        on_spent=lambda session, spent: dispatcher.apply(session, BudgetSpent(spent)),
        behind=lambda: executor.behind,
        counters=counters,
    )

    def on_transfer(session: Terminal, *, is_open: bool) -> None:
        if is_open:
            pump.open(session)
        else:
            pump.close(session.id)

    executor = Executor(
        writer,
        control,
        order_key,
        counters=counters,
        on_transfer=on_transfer,
        on_lost=lambda terminal: dispatcher.forget(terminal),  # noqa: PLW0108 - made below
        is_current=sessions.is_current,
        on_committed=lambda: doorbell.ring("ledger"),
    )
    timers = Timers(clock)
    chance = random.Random()  # noqa: S311 - spreads retries, guards nothing
    births = Admission(settings.births_per_s)
    dispatcher = Dispatcher(db, sessions, executor, pump, timers, clock, births, counters, chance)
    services = Services(
        db=db,
        doorbell=doorbell,
        packages_path=settings.packages_path,
        ring=ring,
        sign_seal=lambda seal: sign_seal(seal, order_key),
        seal_ring=KeyRing([public_of(order_key), *settings.former_order_keys()]),
        package_max_bytes=settings.package_max_bytes,
        budgets=defaults,
    )
    gateway = Gateway(
        writer=writer,
        control=control,
        bulk=bulk,
        sessions=sessions,
        executor=executor,
        pump=pump,
        timers=timers,
        dispatcher=dispatcher,
        budgets=budgets,
        easing=Easing(db, sessions, plans, dispatcher, executor, budgets, doorbell),
        campaigns=Campaigns(db, sessions, plans, dispatcher, executor, budgets, doorbell, clock, counters),
        orders=Orders(db, sessions, dispatcher, doorbell, counters),
        recovery=Recovery(db, sessions, dispatcher, executor, control, clock),
        hearing={"control": Hearing(control, "control"), "bulk": Hearing(bulk, "bulk")},
        services=services,
        counters=counters,
        user=settings.broker_username or settings.broker_client_id,
    )
    app = create_app(
        services,
        token=settings.bearer_token(),
        not_ready=gateway.not_ready,
        stats=gateway.stats,
        behind=lambda: executor.behind,
        streams_max=settings.streams_max,
        request_max_bytes=settings.request_max_bytes,
    )
    http = HttpServer(app, app.state.streams, host=settings.http_host, port=settings.http_port)
    return gateway, http


async def _terms(settings: Settings, db: Database, epoch: int) -> Terms:
    return Terms(
        shard_epoch=epoch,
        least_step=int(await meta.get(db, backup.STEP_KEY) or "0"),
        restored_at=int(await meta.get(db, backup.RESTORED_KEY) or "0") / 1e6,
        reconnect_hint_ms=settings.reconnect_hint_ms,
        pacing=settings.transfer_pacing,
        target_ms=settings.transfer_target_ms,
    )


def _defaults(settings: Settings) -> Defaults:
    return Defaults(
        terminal=Limit(bytes_per_s=settings.terminal_bytes_per_s, bytes_per_day=settings.terminal_bytes_per_day),
        site=Limit(bytes_per_s=settings.site_bytes_per_s, bytes_per_day=settings.site_bytes_per_day),
        gateway=Limit(bytes_per_s=settings.gateway_bytes_per_s, bytes_per_day=settings.gateway_bytes_per_day),
        zone=settings.budget_zone,
    )


def link_settings(settings: Settings, client_id: str, filters: Sequence[str], qos: int) -> LinkSettings:
    """How a connection under ``client_id`` reaches the broker that the settings name."""

    def text(path: Path | None) -> str | None:
        return None if path is None else str(path)

    return LinkSettings(
        host=settings.broker_host,
        port=settings.broker_port,
        client_id=client_id,
        filters=tuple((one, qos) for one in filters),
        username=settings.broker_username,
        password=settings.broker_secret(),
        tls=settings.broker_tls,
        ca_file=text(settings.broker_ca_file),
        cert_file=text(settings.broker_cert_file),
        key_file=text(settings.broker_key_file),
    )
