"""The door itself: tokens, problems, limits, unknown routes, and bodies that never end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import anyio
import httpx

from tests.integration.http_gateway import TOKEN, http_gateway

AUTHORIZATION = b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    """It is an RFC 9457 problem with this status and code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= set(body)
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:tillgate:problem:{code}")


async def raw(url: str, request: bytes) -> bytes:
    """All that the gateway answers to these very bytes until it closes the connection."""
    answer = b""
    async with await anyio.connect_tcp("127.0.0.1", httpx.URL(url).port or 0) as stream:
        await stream.send(request)
        with anyio.fail_after(5):
            async for piece in stream:
                answer += piece
    return answer


WRONG: Final[tuple[dict[bytes, bytes], ...]] = (
    {},
    {b"authorization": b"Bearer wrong-token-of-some-length"},
    {b"authorization": TOKEN.encode()},
    {b"authorization": b"Basic " + TOKEN.encode()},
    {b"authorization": b"Bearer " + TOKEN.encode() + b"x"},
    {b"authorization": b"Bearer"},
    {b"authorization": b"Bearer \xff\xfe"},
)


async def test_without_the_token_nothing_is_told(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway, httpx.AsyncClient(base_url=gateway.url) as stranger:
        for headers in WRONG:
            for path in ("/api/v1/terminals", "/api/v1/openapi.json", "/api/v1/nowhere", "/api/v1/events"):
                answer = await stranger.get(path, headers=headers)

                assert_problem(answer, 401, "unauthorized")
                assert answer.headers["www-authenticate"] == "Bearer"


async def test_two_tokens_in_one_request_are_none(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway, httpx.AsyncClient(base_url=gateway.url) as stranger:
        headers = [("authorization", "Bearer wrong"), ("authorization", f"Bearer {TOKEN}")]

        assert_problem(await stranger.get("/api/v1/terminals", headers=headers), 401, "unauthorized")


async def test_health_needs_no_token_and_says_why_not_ready(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway, httpx.AsyncClient(base_url=gateway.url) as stranger:
        assert (await stranger.get("/healthz")).json() == {"status": "ok"}
        assert (await stranger.get("/readyz")).json() == {"status": "ok"}

        gateway.not_ready.append("the control connection to the broker is down: refused")
        answer = await stranger.get("/readyz")

        assert_problem(answer, 503, "not_ready")
        assert answer.json()["facts"]["reasons"] == gateway.not_ready
        assert (await stranger.get("/healthz")).status_code == 200


async def test_unknown_routes_and_methods_are_problems(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        assert_problem(await gateway.http.get("/api/v1/nowhere"), 404, "route_unknown")
        assert_problem(await gateway.http.get("/"), 404, "route_unknown")
        answer = await gateway.http.delete("/api/v1/terminals")
        assert_problem(answer, 405, "method_not_allowed")
        assert "allow" in answer.headers
        assert_problem(await gateway.http.get("/api/v1/terminals/"), 404, "route_unknown")


BAD_BODIES: Final = (
    (b"{", 400, "json_invalid"),
    (b"\xff\xfe\x00", 400, "body_unreadable"),
    (b'{"terminals": []}', 422, "validation_failed"),
    (b'{"terminals": [{"id": "T1", "model": "m", "colour": "red"}]}', 422, "validation_failed"),
    (b'{"terminals": [{"id": "T1", "model": "m"}], "extra": 1}', 422, "validation_failed"),
    (b'{"terminals": [{"id": "../T1", "model": "m"}]}', 422, "validation_failed"),
    (b'{"terminals": [{"id": "T1\\n", "model": "m"}]}', 422, "validation_failed"),
    (b'{"terminals": [{"id": "T1", "model": "\\ud800"}]}', 422, "validation_failed"),
    (b'{"terminals": [{"id": "T1", "model": "m", "labels": {"k": "\\u0000"}}]}', 422, "validation_failed"),
    (b'{"terminals": [{"id": "T1", "model": "m"}, {"id": "T1", "model": "m"}]}', 422, "terminal_id_repeated"),
    (b"[" * 100_000, 400, "body_unreadable"),
    (b'{"terminals": [{"id": "_gateway", "model": "m"}]}', 422, "terminal_id_reserved"),
    (b"null", 422, "validation_failed"),
)


async def test_a_bad_body_is_a_problem_and_changes_nothing(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        for content, status, code in BAD_BODIES:
            answer = await gateway.http.post("/api/v1/terminals", content=content, headers={"content-type": "application/json"})

            assert_problem(answer, status, code)
        assert (await gateway.http.get("/api/v1/terminals")).json()["items"] == []


async def test_ten_thousand_wrong_rows_are_not_ten_thousand_lines(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        rows = [{"id": "no spaces please", "model": "m"}] * 10_000
        answer = await gateway.http.post("/api/v1/terminals", json={"terminals": rows})

        assert_problem(answer, 422, "validation_failed")
        assert len(answer.json()["errors"]) == 50
        assert answer.json()["errors"][0]["where"] == "body.terminals.0.id"


async def test_too_large_a_body_is_refused_with_and_without_its_length(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(64):
                yield b"x" * 65_536

        with_length = await gateway.http.post("/api/v1/terminals", content=b"x" * (3 << 20))
        without = await gateway.http.post("/api/v1/terminals", content=endless())

        assert_problem(with_length, 413, "too_large")
        assert_problem(without, 413, "too_large")


async def test_a_body_that_stops_coming_is_given_up(tmp_path: Path) -> None:
    async with http_gateway(tmp_path, body_idle_s=0.2) as gateway:
        head = b"POST /api/v1/terminals HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
        answer = await raw(gateway.url, head + AUTHORIZATION + b'\r\n{"terminals"')

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"request_timeout" in answer


TRICKS: Final = (
    "/api/v1/terminals/..%2F..%2Fetc%2Fpasswd",
    "/api/v1/terminals/%2e%2e",
    "/api/v1/packages/..%5c..%5cx",
    "/api/v1/packages/%00",
    "/api/v1/upgrades/%FF%FE",
    "/api/v1/orders/" + "a" * 65,
    "/api/v1/campaigns/a'%20OR%201=1/progress",
)


async def test_path_tricks_lead_nowhere(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        for path in TRICKS:  # as they are: a client library would tidy the path up
            head = b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            answer = await raw(gateway.url, head + AUTHORIZATION + b"\r\n")

            assert int(answer.split(b" ", 2)[1]) in {404, 422}
            code = json.loads(answer.rpartition(b"\r\n\r\n")[2])["code"]
            assert code in {"route_unknown", "validation_failed"}


async def test_counters_are_shown_by_name(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        gateway.counters.update({"wire:topic_invalid": 3, "commits": 7})

        assert (await gateway.http.get("/api/v1/stats")).json() == {"counters": {"commits": 7, "wire:topic_invalid": 3}}


async def test_a_bad_name_of_the_acting_person_is_refused(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        body = {"terminals": [{"id": "T1", "model": "m"}]}
        answer = await gateway.http.post("/api/v1/terminals", json=body, headers={"x-tillgate-actor": "a b"})

        assert_problem(answer, 422, "actor_invalid")
