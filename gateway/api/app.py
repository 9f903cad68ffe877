"""Composes the HTTP application: routes, guard, limits and problems around the services that the runtime gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import Depends, FastAPI

from gateway.api import (
    budgets,
    campaigns,
    events,
    explain,
    health,
    ledger,
    orders,
    packages,
    problems,
    terminals,
    transfers,
    upgrades,
)
from gateway.api.document import ANYWHERE, described, operation_id, refuse_unknown_query
from gateway.api.guard import BODY_IDLE_S, Guard
from gateway.api.health import NotReady, Stats
from gateway.api.streams import EventStreams
from gateway.packages.format import head
from gateway.services.context import Services
from gateway.trust.manifest import MAX_MANIFEST_BYTES

PREFIX: Final = "/api/v1"
VERSION: Final = "1"
REQUEST_MAX_BYTES: Final = 4 << 20

_DESCRIPTION: Final = """\
Upgrades fleets of payment terminals over MQTT, and says how long it takes.

Every request but the health ones carries `Authorization: Bearer <token>`. Every failure is an RFC 9457 problem; look at its
`code`. A field or a query parameter that is not described here is refused. Listings are paged: pass `next` back as `cursor`.
Times are RFC 3339 in UTC, durations end in `_s`, sizes in `_bytes`.
"""


def create_app(
    services: Services,
    *,
    token: str,
    not_ready: NotReady,
    stats: Stats,
    behind: Callable[[], bool] = lambda: False,
    streams_max: int = 64,
    request_max_bytes: int = REQUEST_MAX_BYTES,
    body_idle_s: float = BODY_IDLE_S,
) -> FastAPI:
    """The application. ``app.state.streams`` are its event streams, to be closed at shutdown (``HttpServer`` does).

    ``behind`` says that the store does not keep up with what terminals report, so that costly questions have to wait.
    """
    app = FastAPI(
        title="Tillgate",
        version=VERSION,
        description=_DESCRIPTION,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # the page would load scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.services = services
    app.state.not_ready = not_ready
    app.state.stats = stats
    app.state.behind = behind
    app.state.streams = EventStreams(streams_max)

    problems.install(app)
    upload_max_bytes = services.package_max_bytes + len(head(b"")) + MAX_MANIFEST_BYTES
    app.add_middleware(
        Guard,
        token=token,
        body_max_bytes=request_max_bytes,
        larger={f"{PREFIX}/packages": upload_max_bytes},
        body_idle_s=body_idle_s,
    )
    app.include_router(health.open_router)  # takes any query: a probe's `?verbose` must not make the gateway look dead
    for router in (
        terminals.router,
        packages.router,
        campaigns.router,
        upgrades.router,
        explain.router,
        transfers.router,
        budgets.router,
        orders.router,
        events.router,
        ledger.router,
        health.router,
    ):
        app.include_router(router, prefix=PREFIX, responses=ANYWHERE, dependencies=[Depends(refuse_unknown_query)])
    app.openapi = described(app)  # type: ignore[method-assign]  # FastAPI's own way to extend the document
    return app
