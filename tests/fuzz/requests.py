"""Decoders of what HTTP callers send: every body, through the framework and our way of refusing, and cursors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, partial
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import Message, Scope

from gateway.api import problems
from gateway.api.budget_models import BudgetIn
from gateway.api.campaign_models import CampaignIn, ResumeIn
from gateway.api.order_models import OrderIn
from gateway.api.terminal_models import RegisterIn
from gateway.errors import RequestError
from gateway.services import cursors
from tests.fuzz.decoder import BrokenPromiseError, Decoder, same

# -- bodies and parameters of requests

MODELS: Final[tuple[type[BaseModel], ...]] = (RegisterIn, CampaignIn, ResumeIn, OrderIn, BudgetIn)


@cache
def _echoes() -> FastAPI:
    """An application with our way of refusing and one route per body, which sends back what it was given."""
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False})
    problems.install(app)
    for model in MODELS:

        async def echo(body: BaseModel) -> str:
            return body.model_dump_json(exclude_unset=True)

        echo.__annotations__ = {"body": model, "return": str}
        app.post(f"/{model.__name__}")(echo)
    return app


@cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner()


def _body(model: type[BaseModel], data: bytes) -> bool:
    status, answer = _runner().run(_posted(f"/{model.__name__}", data))
    if status == HTTPStatus.OK:
        text: str = json.loads(answer)
        same((status, answer), _runner().run(_posted(f"/{model.__name__}", text.encode())))
        return True
    if not 400 <= status < 500 or not {"code", "detail"} <= json.loads(answer).keys():
        raise BrokenPromiseError(f"{status}: {answer!r:.200}")
    return False


async def _posted(path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer, without a server in between."""
    sent: list[Message] = []
    asked = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return next(asked, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await _echoes()(scope, receive, send)
    status = next(message["status"] for message in sent if message["type"] == "http.response.start")
    return status, b"".join(message.get("body", b"") for message in sent)


def _cursor(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    with suppress(RequestError):
        place = cursors.decode("upgrades", text)
        if place:
            same(place, cursors.decode("upgrades", cursors.encode("upgrades", place)))
        cursors.decode_number("upgrades", text)
        return True
    return False


# -- seeds


def _bodies(model: type[BaseModel]) -> list[bytes]:
    given: dict[type[BaseModel], list[dict[str, Any]]] = {
        RegisterIn: [{"terminals": [{"id": "till-1", "model": "m", "labels": {"site": "7"}}]}],
        CampaignIn: [
            {"name": "n", "package": "p-1", "terminals": ["till-1"], "canaries": ["till-1"], "ends_at": "2030-01-01T00:00:00Z"},
            {
                "name": "n",
                "package": "p-1",
                "terminals": {"model": "m", "labels": {"site": "7"}},
                "terms": {
                    "soak_s": 60.5,
                    "deadlines_s": {"offered": 1},
                    "install_window": {"start": "02:00", "end": "05:00", "days": ["mon"], "zone": "terminal"},
                },
            },
        ],
        ResumeIn: [{"note": "why", "accept_failures": True}, {}],
        OrderIn: [{"kind": "reboot", "expires_s": 60}],
        BudgetIn: [{"name": "till-1", "bytes_per_s": 1024, "bytes_per_day": None}],
    }
    return [json.dumps(body).encode() for body in given[model]]


def _cursors() -> list[bytes]:
    return [cursors.encode("upgrades", place).encode() for place in ("17", "till-1", "x" * 64)]


def of_requests() -> Iterable[Decoder]:
    """Bodies and parameters of HTTP requests."""
    for model in MODELS:
        yield Decoder(f"body {model.__name__}", partial(_body, model), partial(_bodies, model))
    yield Decoder("cursor", _cursor, _cursors, 300)
