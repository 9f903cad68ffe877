"""The OpenAPI document: every route says what it is for, what it takes and how it fails, and takes nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.integration.http_gateway import http_gateway
from tests.integration.test_api_guard import assert_problem

OPEN: Final = {"/healthz", "/readyz"}
PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and description of every route."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


async def test_every_route_says_what_it_is_for_and_how_it_fails(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        document = (await gateway.http.get("/api/v1/openapi.json")).json()

    found = list(operations(document))
    assert len({operation["operationId"] for _, _, operation in found}) == len(found) >= 30
    assert len({operation["summary"] for _, _, operation in found}) == len(found)
    assert document["security"] == [{"bearer": []}]
    assert {"ProblemDetails", "FieldProblem"} <= set(document["components"]["schemas"])
    for path, method, operation in found:
        name = operation["operationId"]
        assert re.fullmatch(r"[A-Z][a-z]+( [a-z]+)+", operation["summary"]), name
        assert re.match(r"[A-Z].{20,}\.$", operation["description"].splitlines()[0]), name
        assert all(one.get("description") for one in operation.get("parameters", ())), name
        failures = {status for status in operation["responses"] if status >= "400"}
        assert all(operation["responses"][status]["content"] == PROBLEM for status in failures), name
        assert all(operation["responses"][status]["description"] for status in failures), name
        assert (operation.get("security") == []) == (path in OPEN), name
        needed = set() if path in OPEN else {"401", "422", "500", "503"}
        needed |= {"400", "408", "413"} if "requestBody" in operation else set()
        needed |= {"404"} if "{" in path else set()
        assert needed <= failures, (name, needed - failures)
        assert method == "post" or "requestBody" not in operation, name


async def test_every_reference_of_the_document_leads_somewhere(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        answer = await gateway.http.get("/api/v1/openapi.json")

    schemas = answer.json()["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text)) <= set(schemas)


async def test_a_query_parameter_that_a_route_does_not_know_is_refused(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        document = (await gateway.http.get("/api/v1/openapi.json")).json()
        for path, method, operation in operations(document):
            url = re.sub(r"\{\w+\}", "x", path)
            answer = await gateway.http.request(method, url, params={"colour": "red"})
            if path in OPEN:
                assert answer.status_code == 200  # a probe may ask what it likes
                continue

            assert_problem(answer, 422, "query_unknown")
            assert "'colour'" in answer.json()["detail"]
            for one in operation.get("parameters", ()):
                assert one["in"] != "query" or one["name"] in answer.json()["detail"], path
        one_letter = await gateway.http.get("/api/v1/orders", params={"state": "done"})
        right = await gateway.http.get("/api/v1/orders", params={"status": "done", "limit": 3})

    assert one_letter.json()["detail"] == (
        "there is no query parameter 'state' here; this takes terminal, status, cursor, limit"
    )
    assert right.status_code == 200
