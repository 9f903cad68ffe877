"""Every error that leaves over HTTP, as RFC 9457 problem details; the one place where our errors become status codes.

``install`` registers the handlers on the application. The body of a problem is always ``type``, ``title``, ``status``,
``detail`` and ``code``; ``errors`` lists the fields that were wrong, ``facts`` the numbers and names behind the text. ``code``
is stable and is what a program should look at; docs/operations.md lists them. A problem never shows a traceback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gateway import invalid
from gateway.errors import (
    ConflictError,
    LinkError,
    NotFoundError,
    RequestError,
    StoreError,
    TillgateError,
    TooLargeError,
    TrustError,
    UnauthorizedError,
)

log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"
ERRORS_MAX: Final = 50  # fields listed in one problem; ten thousand wrong rows do not need ten thousand lines
RETRY_AFTER_S: Final = 1

#: First match wins.
_STATUS: Final[tuple[tuple[type[TillgateError], HTTPStatus], ...]] = (
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ConflictError, HTTPStatus.CONFLICT),
    (UnauthorizedError, HTTPStatus.UNAUTHORIZED),
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (RequestError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (TrustError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (LinkError, HTTPStatus.SERVICE_UNAVAILABLE),
)
#: What the framework raises by itself, by status.
_FRAMEWORK: Final[Mapping[int, tuple[str, str]]] = {
    400: ("body_unreadable", "the request's body could not be read"),
    404: ("route_unknown", "there is nothing at this path; /api/v1/openapi.json lists what there is"),
    405: ("method_not_allowed", "this path knows other methods; see the Allow header"),
    408: ("request_timeout", "the request's body stopped coming"),
}


class FieldProblem(BaseModel):
    """One thing that was wrong with the request."""

    where: str = Field(description="Path to the field, for example `body.terminals.3.id`.")
    detail: str = Field(description="What was expected.")
    code: str = Field(description="Stable code of the rule that was broken.")


class ProblemDetails(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="`urn:tillgate:problem:<code>`.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong, what was expected, what to do.")
    code: str = Field(description="Stable, machine-readable reason.")
    errors: list[FieldProblem] = Field(default_factory=list, description="The fields that were wrong, at most 50.")
    facts: dict[str, str | int | float | bool | list[str]] = Field(
        default_factory=dict, description="Numbers and names behind the text."
    )


class ProblemResponse(JSONResponse):
    """A problem on its way out."""

    media_type = MEDIA_TYPE


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldProblem] = (),
    facts: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    """The response for one problem; empty ``errors`` and ``facts`` are left out."""
    body = ProblemDetails(
        type=f"urn:tillgate:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        errors=list(errors[:ERRORS_MAX]),
        facts=_plain(facts or {}),
    )
    content = body.model_dump(exclude_defaults=True)
    return ProblemResponse(content, status_code=status, headers=dict(headers or {}))


def of_error(exc: TillgateError) -> ProblemResponse:
    """The response for one of our own errors."""
    status = next((status for kind, status in _STATUS if isinstance(exc, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return problem(status, "internal", "the gateway failed at this request; its log has the details")
    headers: dict[str, str] = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    elif status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return problem(status, exc.code, exc.message, facts=exc.facts, headers=headers)


def install(app: FastAPI) -> None:
    """Register the handlers; after this the application answers every failure with a problem."""

    @app.exception_handler(TillgateError)
    async def on_own_error(request: Request, exc: TillgateError) -> ProblemResponse:
        response = of_error(exc)
        if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request_failed", path=request.url.path, code=exc.code, reason=exc.message)
        return response

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, exc: RequestValidationError) -> ProblemResponse:
        del request
        return _of_validation(exc)

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, exc: HTTPException) -> ProblemResponse:
        del request
        code, detail = _FRAMEWORK.get(exc.status_code, (_code_of(exc.status_code), str(exc.detail)))
        headers = dict(exc.headers or {})
        if exc.status_code == HTTPStatus.REQUEST_TIMEOUT:  # the rest of the body may come later, as if it were a request
            headers["Connection"] = "close"
        return problem(exc.status_code, code, detail, headers=headers)

    @app.exception_handler(ClientDisconnect)
    async def on_gone(request: Request, exc: ClientDisconnect) -> ProblemResponse:
        del exc
        log.info("request_broken_off", path=request.url.path)
        return problem(400, *_FRAMEWORK[400])  # nobody reads it

    @app.exception_handler(Exception)
    async def on_bug(request: Request, exc: Exception) -> ProblemResponse:
        log.error("request_crashed", path=request.url.path, kind=type(exc).__name__)  # the server logs the traceback
        return problem(500, "internal", "the gateway failed at this request; its log has the details")


def _code_of(status: int) -> str:
    return {413: "too_large", 503: "busy"}.get(status, "http_error")


def _of_validation(exc: RequestValidationError) -> ProblemResponse:
    found = exc.errors()
    if found and found[0].get("type") == "json_invalid":
        return problem(400, "json_invalid", "the request's body is not JSON")

    errors = [
        FieldProblem(where=_where(error["loc"]), detail=invalid.reason(error), code=str(error["type"]))
        for error in found[:ERRORS_MAX]
    ]
    first = f"{errors[0].where}: {errors[0].detail}" if errors else "the request is invalid"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return problem(422, "validation_failed", first + more, errors=errors)


def _where(loc: Sequence[object]) -> str:
    """The path to a field; keys that the caller made up are cut."""
    return ".".join(str(part)[:64] for part in loc).encode("ascii", "backslashreplace").decode()


def _plain(facts: Mapping[str, object]) -> dict[str, str | int | float | bool | list[str]]:
    out: dict[str, str | int | float | bool | list[str]] = {}
    for key, value in facts.items():
        if isinstance(value, bool | int | float | str):
            out[key] = value
        elif isinstance(value, list | tuple | set | frozenset):
            out[key] = sorted(str(item) for item in value)[:ERRORS_MAX]
    return out
