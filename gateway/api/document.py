"""What the API says of itself, the OpenAPI document, and the refusal of query parameters that stand nowhere in it.

``app`` installs both. Every route names its operation, its summary and its own failures; what may fail everywhere is said here
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute

from gateway.api.given import problems
from gateway.api.guard import OPEN_PATHS
from gateway.api.problems import ProblemDetails
from gateway.errors import RequestError

#: What each request may meet, whatever it asks for; a route's own text for a status wins.
ANYWHERE: Final = problems(
    s401="No token, or a wrong one",
    s422="Not as described: a field, a query parameter, or a place in a listing",
    s500="A bug of the gateway; its log has the details",
    s503="The store takes nothing now; try again after `Retry-After`",
)
#: What besides may happen to a request that has a body.
_BODY: Final = problems(
    s400="The body is not JSON, or could not be read",
    s408="The body stopped coming",
    s413="The body is too large",
)


def operation_id(route: APIRoute) -> str:
    """Every route names its operation; the function's name would repeat itself across modules."""
    return route.operation_id or route.name


def refuse_unknown_query(request: Request) -> None:
    """Dependency of all routes but the open ones: what a misspelt condition would have left out must not come as an answer.

    Raises:
        RequestError: ``query_unknown``, with what the route takes.
    """
    given = request.query_params
    if not given:
        return
    known = _query_names(request.app, operation_id(request.scope["route"]))
    for name in given:
        if name not in known:
            takes = f"this takes {', '.join(known)}" if known else "this takes none"
            raise RequestError(f"there is no query parameter {name[:60]!r} here; {takes}", code="query_unknown")


def described(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document with the bearer token that the guard asks for, and with every failure as a problem."""
    original = app.openapi
    whole: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if whole:
            return whole
        document = original()
        components = document.setdefault("components", {})
        schema = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
        components.setdefault("schemas", {}).update(schema.pop("$defs"), ProblemDetails=schema)
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"bearer": []}]
        for path, operation in _operations(document):
            if path in OPEN_PATHS:
                operation["security"] = []
            if "requestBody" in operation:
                answers = {str(status): answer for status, answer in _BODY.items()} | operation["responses"]
                operation["responses"] = dict(sorted(answers.items()))
        whole.update(document)
        return whole

    return openapi


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _query_names(app: FastAPI, name: str) -> list[str]:
    """The query parameters of an operation, in the order of the document."""
    [operation] = [one for _, one in _operations(app.openapi()) if one["operationId"] == name]
    return [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
