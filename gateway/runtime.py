"""The composition root: opens the store, the link, the engine and the API, runs them in one task group, and closes them in order.

Nothing else in the house starts a task. Every task here runs until it is cancelled; one that ends by an error ends the process,
because a gateway with a missing limb looks alive and is not.
"""

from __future__ import annotations

import gc
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
import structlog
import uvicorn

from gateway.api.app import create_app
from gateway.config import Settings
from gateway.core.terminal import Terminal, Terms
from gateway.engine.campaigns import Campaigns
from gateway.engine.clock import SystemClock
from gateway.engine.dispatcher import CONTROL_KINDS, Dispatcher
from gateway.engine.executor import Executor
from gateway.engine.orders import Orders
from gateway.engine.plans import Plans
from gateway.engine.pump import Pump
from gateway.engine.recovery import Recovery
from gateway.engine.sessions import Sessions
from gateway.engine.shelf import Shelf
from gateway.engine.timers import Timers
from gateway.errors import TillgateError
from gateway.link.mqtt import MqttLink
from gateway.link.settings import LinkSettings
from gateway.packages.ingest import sweep
from gateway.services.context import Services
from gateway.store.database import Database
from gateway.store.doorbell import Doorbell
from gateway.store.writer import Writer
from gateway.trust.keys import KeyRing

log = structlog.get_logger()

#: How long a shutdown waits for commits under way and open HTTP requests (seconds).
SHUTDOWN_S = 10.0


@dataclass(slots=True)
class Gateway:
    """All parts of a running gateway, plugged together."""

    settings: Settings
    db: Database
    writer: Writer
    control: MqttLink
    bulk: MqttLink
    sessions: Sessions
    executor: Executor
    pump: Pump
    timers: Timers
    dispatcher: Dispatcher
    campaigns: Campaigns
    orders: Orders
    recovery: Recovery
    services: Services
    counters: Counter[str]

    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Every long task by its name."""
        return {
            "store.writer": self.writer.run,
            "link.control": self.control.run,
            "link.bulk": self.bulk.run,
            "engine.executor": self.executor.run,
            "engine.pump": self.pump.run,
            "engine.control": lambda: self.dispatcher.run_control(self.control),
            "engine.bulk": lambda: self.dispatcher.run_bulk(self.bulk),
            "engine.timers": self.dispatcher.run_timers,
            "engine.campaigns": self.campaigns.run,
            "engine.orders": self.orders.run,
            "engine.recovery": self.recovery.run,
        }

    def not_ready(self) -> list[str]:
        """Why the gateway cannot do its work now; empty when it can."""
        reasons = [
            f"the {name} connection to the broker is down: {link.reason or 'connecting'}"
            for name, link in (("control", self.control), ("bulk", self.bulk))
            if not link.connected
        ]
        if self.executor.failing:
            reasons.append(f"the store does not take commits: {self.executor.failing}")
        return reasons

    def stats(self) -> dict[str, int]:
        """Counters by name, for people and tests."""
        out = dict(self.counters)
        for name, link in (("control", self.control), ("bulk", self.bulk)):
            out |= {f"link.{name}.{key}": value for key, value in link.counters.items()}
        return out | {
            "sessions": len(self.sessions),
            "transfers_open": self.pump.open_count,
            "executor_queue": self.executor.depth,
        }


async def serve(settings: Settings) -> None:
    """Run a gateway until SIGINT or SIGTERM, then stop it in order.

    Raises:
        ConfigError: a key, token or file is missing or wrong.
        StoreInUseError: another gateway has the store open.
        StoreError: the store cannot be opened.
    """
    async with AsyncExitStack() as stack:
        gateway = await _build(settings, stack)
        server = _http_server(gateway)
        async with anyio.create_task_group() as tasks:
            for name, run in gateway.tasks().items():
                tasks.start_soon(_guard, name, run, name=name)
            tasks.start_soon(_serve_http, server, name="api")
            gc.freeze()  # what lives now lives for ever; collections need not look at it again
            await _wait_for_signal()
            log.info("stopping")
            # In order: no new requests, then nothing new from the broker or the campaigns, then the last commits.
            server.should_exit = True
            with anyio.move_on_after(SHUTDOWN_S):
                await gateway.executor.flush()
            tasks.cancel_scope.cancel()
    log.info("stopped")


async def _build(settings: Settings, stack: AsyncExitStack) -> Gateway:
    clock = SystemClock()
    counters: Counter[str] = Counter()
    ring = KeyRing(settings.publisher_keys())
    order_key = settings.order_key()
    token = settings.bearer_token()
    db = await stack.enter_async_context(Database.open(settings.store_path))
    settings.packages_path.mkdir(parents=True, exist_ok=True)
    sweep(settings.packages_path)
    writer = Writer(db)
    doorbell = Doorbell()
    control = MqttLink(_link_settings(settings, settings.broker_client_id, [f"tg1/up/+/+/{kind}" for kind in sorted(CONTROL_KINDS)], 1))
    bulk = MqttLink(_link_settings(settings, f"{settings.broker_client_id}.b", ["tg1/up/+/+/ack"], 0))
    plans = Plans(db, ring)
    sessions = Sessions(db, plans, Terms(), counters)
    shelf = Shelf(settings.packages_path)
    stack.callback(shelf.close)
    pump = Pump(bulk, shelf, clock, rate_bps=settings.bulk_bytes_per_s, counters=counters)

    def on_transfer(session: Terminal, is_open: bool) -> None:
        if is_open:
            pump.open(session)
        else:
            pump.close(session.id)

    def on_lost(terminal: str) -> None:
        dispatcher.forget(terminal)

    executor = Executor(
        writer,
        control,
        order_key,
        counters=counters,
        on_transfer=on_transfer,
        on_lost=on_lost,
        is_current=sessions.is_current,
        on_committed=lambda: doorbell.ring("ledger"),
    )
    timers = Timers(clock)
    dispatcher = Dispatcher(db, sessions, executor, pump, timers, clock, counters, random.Random())
    services = Services(db=db, doorbell=doorbell, packages_path=settings.packages_path, ring=ring, token=token)
    return Gateway(
        settings=settings,
        db=db,
        writer=writer,
        control=control,
        bulk=bulk,
        sessions=sessions,
        executor=executor,
        pump=pump,
        timers=timers,
        dispatcher=dispatcher,
        campaigns=Campaigns(db, writer, sessions, plans, dispatcher, executor, doorbell, clock, counters),
        orders=Orders(db, sessions, dispatcher, doorbell, counters),
        recovery=Recovery(db, sessions, dispatcher, executor, control),
        services=services,
        counters=counters,
    )
