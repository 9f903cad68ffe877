"""Server-sent events: resumed without a gap, filtered, alive when nothing happens, bounded, and no burden when slow."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import httpx
import pytest

from gateway.api import events
from gateway.core.effects import Append
from gateway.errors import StoreError
from gateway.services import events as service
from gateway.services.context import Services
from gateway.store.ledger import Entry
from tests.integration.http_gateway import HttpGateway, http_gateway, until
from tests.integration.test_api_guard import AUTHORIZATION, assert_problem


def append(terminal: str, number: int, campaign: str = "c-1", size: int = 0) -> Append:
    """An entry of the engine's."""
    return Append(
        at_us=1_790_000_000_000_000 + number,
        terminal=terminal,
        campaign=campaign,
        upgrade="",
        actor="terminal",
        what="health",
        from_state="soaking",
        to_state="soaking",
        code="ok",
        evidence={"number": number, "text": "x" * size},
    )


async def entries(answer: httpx.Response) -> AsyncIterator[dict[str, object]]:
    """The entries of a stream, each checked to carry its own number as id."""
    event_id = ""
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            event_id = value
        if name == "data":
            entry = json.loads(value)
            assert str(entry["seq"]) == event_id
            yield entry


async def take(
    gateway: HttpGateway, count: int, query: str = "", headers: dict[str, str] | None = None
) -> list[dict[str, object]]:
    """The first ``count`` entries of a stream."""
    found: list[dict[str, object]] = []
    with anyio.fail_after(10):
        async with gateway.http.stream("GET", f"/api/v1/events{query}", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for entry in entries(answer):
                found.append(entry)
                if len(found) == count:
                    break
    return found


async def test_a_stream_is_taken_up_where_it_was_left(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.save(*(append("T1", number) for number in range(1000)))
        first = await take(gateway, 450, "?after=0")
        rest = await take(gateway, 550, headers={"last-event-id": str(first[-1]["seq"])})

    assert [entry["seq"] for entry in first + rest] == list(range(1, 1001))


async def test_a_stream_without_a_place_begins_with_what_happens_next(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.save(append("T1", 1))
        found: list[dict[str, object]] = []

        async def watch() -> None:
            found.extend(await take(gateway, 2))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await until(lambda: _open_streams(gateway))
            await gateway.save(append("T2", 2))
            await gateway.save(append("T3", 3))

    assert [entry["terminal"] for entry in found] == ["T2", "T3"]


async def test_a_stream_shows_one_terminal_or_one_campaign(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.save(*(append(f"T{number % 3}", number, campaign=f"c-{number % 2}") for number in range(60)))

        assert {entry["terminal"] for entry in await take(gateway, 20, "?after=0&terminal=T1")} == {"T1"}
        assert {entry["campaign"] for entry in await take(gateway, 30, "?after=0&campaign=c-1")} == {"c-1"}
        both = await take(gateway, 10, "?after=0&campaign=c-1&terminal=T1")
        assert {(entry["terminal"], entry["campaign"]) for entry in both} == {("T1", "c-1")}


async def test_an_idle_stream_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.1)
    async with http_gateway(tmp_path) as gateway, gateway.http.stream("GET", "/api/v1/events") as answer:
        beats = 0
        with anyio.fail_after(5):
            async for line in answer.aiter_lines():
                beats += line == ": still here"
                if beats == 3:
                    break


async def test_streams_are_bounded_and_their_places_come_back(tmp_path: Path) -> None:
    async with http_gateway(tmp_path, streams_max=2) as gateway:
        async with gateway.http.stream("GET", "/api/v1/events"), gateway.http.stream("GET", "/api/v1/events"):
            assert_problem(await gateway.http.get("/api/v1/events"), 503, "busy")

        await until(lambda: _open_streams(gateway), is_true=False)
        await gateway.save(append("T1", 1))
        assert len(await take(gateway, 1, "?after=0")) == 1


async def test_a_client_that_takes_nothing_holds_one_stretch_and_no_more(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.save(*(append("T1", number, size=3000) for number in range(3000)))  # 10 MB, more than sockets hold
        asked: list[int] = []
        following = service.following

        async def counted(services: Services, after: int, interest: service.Interest, *, wait_s: float) -> Sequence[Entry]:
            asked.append(after)
            return await following(services, after, interest, wait_s=wait_s)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(service, "following", counted)
            stream = await anyio.connect_tcp("127.0.0.1", httpx.URL(gateway.url).port or 0)
            async with stream:
                await stream.send(b"GET /api/v1/events?after=0 HTTP/1.1\r\nHost: x\r\n" + AUTHORIZATION + b"\r\n")
                await until(lambda: _list(asked))
                await anyio.sleep(0.5)
                taken = len(asked)
                await anyio.sleep(0.5)

                assert len(asked) == taken  # it waits for the client instead of reading on
                assert taken < 15  # of 15 stretches
                assert (await gateway.http.get("/healthz")).status_code == 200
        await until(lambda: _open_streams(gateway), is_true=False)


@pytest.mark.parametrize("place", ["x", "-1", "1.5", "9" * 40, "१", "1"])
async def test_a_place_that_is_none_is_refused(tmp_path: Path, place: str) -> None:
    async with http_gateway(tmp_path) as gateway:
        answer = await gateway.http.get("/api/v1/events", params={"after": place})

        assert_problem(answer, 422, "place_invalid")


async def test_a_shutdown_ends_the_streams(tmp_path: Path) -> None:
    ended = anyio.Event()

    async def watch(gateway: HttpGateway) -> None:
        async with gateway.http.stream("GET", "/api/v1/events") as answer:
            async for _ in answer.aiter_lines():
                pass
        ended.set()

    async with anyio.create_task_group() as tasks, http_gateway(tmp_path) as gateway:
        tasks.start_soon(watch, gateway)
        await until(lambda: _open_streams(gateway))
        gateway.streams.close()
        with anyio.fail_after(5):
            await ended.wait()
        assert_problem(await gateway.http.get("/api/v1/events"), 503, "busy")


async def test_a_stream_ends_when_the_store_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(services: Services, after: int, interest: service.Interest, *, wait_s: float) -> Sequence[Entry]:
        raise StoreError("reading the store: disk I/O error", code="store_io_failed")

    monkeypatch.setattr(service, "following", failing)
    async with http_gateway(tmp_path) as gateway, gateway.http.stream("GET", "/api/v1/events") as answer:
        with anyio.fail_after(5):
            lines = [line async for line in answer.aiter_lines() if line]

    assert lines == ["retry: 2000", "id: 0", ": the stream begins"]


async def _open_streams(gateway: HttpGateway) -> int:
    return gateway.streams.count


async def _list(found: list[int]) -> list[int]:
    return found


async def test_entries_are_paged_from_either_end(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.save(*(append("T1", number) for number in range(7)))

        async def pages(**query: str | int) -> list[int]:
            found: list[int] = []
            cursor: str | None = ""
            while cursor is not None:
                page = (await gateway.http.get("/api/v1/entries", params={**query, "limit": 2, "cursor": cursor})).json()
                found += [entry["seq"] for entry in page["items"]]
                cursor = page["next"]
            return found

        assert await pages() == [1, 2, 3, 4, 5, 6, 7]
        assert await pages(after=4) == [5, 6, 7]
        assert await pages(order="newest") == [7, 6, 5, 4, 3, 2, 1]
        assert await pages(order="newest", after=4, terminal="T1") == [7, 6, 5]
        first = (await gateway.http.get("/api/v1/entries?limit=2")).json()
        swapped = await gateway.http.get("/api/v1/entries", params={"order": "newest", "cursor": first["next"]})

    assert swapped.json()["code"] == "cursor_invalid"
