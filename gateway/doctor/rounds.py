"""All checks, beside each other, each with its own limit of time: one that hangs is a finding, not a hang."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import httpx

from gateway.config import Settings
from gateway.doctor import broker, broker_file, host, keys, store
from gateway.doctor.finding import Finding, fail, warn, well
from gateway.link.settings import LinkSettings

#: For one check (seconds).
LIMIT_S: Final = 30.0
#: For the look through the store, and for the broker to publish its counters once (seconds).
LOOK_S: Final = 10.0
COUNTERS_S: Final = 12.0

Check = Callable[[], Awaitable[Sequence[Finding]]]


async def examine(
    settings: Settings, link: LinkSettings, *, broker_conf: Path | None, limit_s: float = LIMIT_S
) -> list[Finding]:
    """Everything; in the order of the table. ``broker_conf``: the broker's configuration, if it lies here.

    Args:
        settings: as the gateway reads them.
        link: how the gateway reaches the broker, with a client id that nobody else has.
        broker_conf: Mosquitto's configuration file, ``None`` when the broker is elsewhere.
        limit_s: for each check.
    """
    checks: dict[str, Check] = {
        "gateway.ready": lambda: _gateway(settings),
        "broker.reach": lambda: broker.check_broker(link),
        "broker.rules": lambda: broker.check_rules(link),
        "broker.dropped": lambda: broker.check_counters(link, min(COUNTERS_S, limit_s)),
        "broker.certificate": lambda: broker.check_certificate(link),
        "store": lambda: _threaded(lambda: store.check_store(settings.store_path, within_s=min(LOOK_S, limit_s))),
        "disk": lambda: _threaded(
            lambda: host.check_disk(settings.store_path, settings.packages_path, package_max_bytes=settings.package_max_bytes)
        ),
        "clock": lambda: _threaded(host.check_clock),
        "keys": lambda: _threaded(lambda: keys.check_keys(settings)),
    }
    if broker_conf is not None:
        checks["broker.conf"] = lambda: _threaded(lambda: broker_file.check_broker_file(broker_conf))
    found: dict[str, Sequence[Finding]] = {}

    async def run(name: str, check: Check) -> None:
        found[name] = await within(name, check, limit_s)

    async with anyio.create_task_group() as tasks:
        for name, check in checks.items():
            tasks.start_soon(run, name, check)
    return [finding for name in checks for finding in found[name]]


async def within(name: str, check: Check, limit_s: float) -> Sequence[Finding]:
    """What ``check`` finds, or that it took too long."""
    with anyio.move_on_after(limit_s):
        return await check()
    return [fail(name, f"not done within {limit_s:g} s", "whatever it looks at hangs: disk, network or broker")]


async def _threaded(check: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    return await anyio.to_thread.run_sync(check, abandon_on_cancel=True)


async def _gateway(settings: Settings) -> list[Finding]:
    """Whether it answers, and what it says of itself."""
    at = settings.http_host if settings.http_host not in {"0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104 - compared, not bound
    url = f"http://[{at}]:{settings.http_port}" if ":" in at else f"http://{at}:{settings.http_port}"
    try:
        async with httpx.AsyncClient(base_url=url, timeout=broker.ANSWER_S, trust_env=False) as client:
            answer = await client.get("/readyz")
    except httpx.HTTPError:
        return [warn("gateway.ready", f"nothing answers at {url}", "right if it is not meant to run; else `tillgate serve`")]
    if answer.is_success:
        return [well("gateway.ready", f"ready at {url}")]
    try:
        reasons = "; ".join(answer.json()["facts"]["reasons"])
    except (ValueError, KeyError, TypeError):
        return [
            fail("gateway.ready", f"{url} answers {answer.status_code}", "is it a gateway that listens there? check http_port")
        ]
    return [fail("gateway.ready", reasons, "see below, and the gateway's log")]
