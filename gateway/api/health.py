"""Routes about the gateway itself: is it alive, is it ready, what has it counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.api.given import problems
from gateway.api.health_models import AliveOut, StatsOut
from gateway.api.problems import problem

NotReady = Callable[[], Sequence[str]]
"""Why the gateway cannot do its work now; empty when it can."""
Stats = Callable[[], Mapping[str, int]]
"""Counters by name."""

open_router = APIRouter(tags=["health"])
router = APIRouter(tags=["health"])


@open_router.get("/healthz", operation_id="isAlive", summary="Ask whether the process answers")
async def alive() -> AliveOut:
    """Whether the process answers; needs no token. Says nothing of the broker or the store."""
    return AliveOut(status="ok")


@open_router.get(
    "/readyz",
    operation_id="isReady",
    summary="Ask whether the gateway can work",
    response_model=AliveOut,
    responses=problems(s503="Not ready; the text says why"),
)
async def ready(request: Request) -> AliveOut | Response:
    """Whether the gateway can do its work: the broker is connected and the store takes commits; needs no token."""
    not_ready: NotReady = request.app.state.not_ready
    reasons = list(not_ready())
    if not reasons:
        return AliveOut(status="ok")
    return problem(503, "not_ready", "; ".join(reasons), facts={"reasons": reasons}, headers={"Retry-After": "5"})


@router.get("/stats", operation_id="showStats", summary="Show what the gateway counted")
async def show_stats(request: Request) -> StatsOut:
    """What the gateway counted, by reason."""
    stats: Stats = request.app.state.stats
    return StatsOut(counters=dict(sorted(stats().items())))
