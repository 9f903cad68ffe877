"""Terminals and orders over HTTP: register, filter, page, look, and order something of one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.core.effects import SaveOrder, SaveTerminal
from gateway.store import terminals
from gateway.wire.messages import Facts
from tests.integration.http_gateway import MODEL, OTHER_MODEL, http_gateway
from tests.integration.test_api_guard import assert_problem

FACTS = Facts(
    model=MODEL,
    components={"app": "1.4.0", "os": "11"},
    floors={"app": 1},
    slot="a",
    battery_pct=81,
    charging=False,
    storage_free_bytes=1 << 30,
    rat="4g",
    rssi_dbm=-80,
    operator="46000",
    time_zone="Asia/Shanghai",
    clock_ms=1_790_000_000_000,
    in_transaction=False,
    unsettled_count=3,
)


async def test_a_fleet_is_registered_at_once_and_again_without_harm(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        rows = [{"id": f"T{number:05}", "model": MODEL, "labels": {"region": "east"}} for number in range(10_000)]
        first = await gateway.http.post("/api/v1/terminals", json={"terminals": rows})
        again = await gateway.http.post(
            "/api/v1/terminals", json={"terminals": rows[:2]}, headers={"x-tillgate-actor": "alice"}
        )
        too_many = await gateway.http.post("/api/v1/terminals", json={"terminals": [*rows, {"id": "X", "model": MODEL}]})
        newest = (await gateway.http.get("/api/v1/entries")).json()["items"][-1]

    assert first.json() == {"registered_count": 10_000, "updated_count": 0}
    assert again.json() == {"registered_count": 0, "updated_count": 2}
    assert_problem(too_many, 422, "validation_failed")
    assert (newest["what"], newest["actor"], newest["evidence"]["count"]) == ("terminals_registered", "operator:alice", 2)


async def test_listings_are_paged_to_the_end_and_filtered(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register(*(f"A{number}" for number in range(7)), region="east")
        await gateway.register(*(f"B{number}" for number in range(5)), model=OTHER_MODEL, region="west")
        await gateway.save(
            SaveTerminal(terminal="A3", epoch=1, online=True, seen_us=1_790_000_000_000_000, counter=4, facts=FACTS)
        )

        async def ids(query: str) -> list[str]:
            found: list[str] = []
            cursor = ""
            while True:
                page = (await gateway.http.get(f"/api/v1/terminals?limit=2&{query}{cursor}")).json()
                found += [item["id"] for item in page["items"]]
                if page["next"] is None:
                    return found
                cursor = f"&cursor={page['next']}"

        assert await ids("") == [f"A{number}" for number in range(7)] + [f"B{number}" for number in range(5)]
        assert await ids(f"model={OTHER_MODEL}") == [f"B{number}" for number in range(5)]
        assert await ids("label=region%3Deast&prefix=A") == [f"A{number}" for number in range(7)]
        assert await ids("online=true") == ["A3"]
        assert await ids("version=app%3D1.4.0") == ["A3"]
        assert await ids("version=app%3D9") == []
        assert await ids("text=WEST") == [f"B{number}" for number in range(5)]


async def test_bad_places_and_conditions_are_refused(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register("A1", "A2", "A3")
        cursor = (await gateway.http.get("/api/v1/terminals?limit=1")).json()["next"]
        get = gateway.http.get

        assert_problem(await get("/api/v1/terminals?limit=100000"), 422, "validation_failed")
        assert_problem(await get("/api/v1/terminals?limit=0"), 422, "validation_failed")
        for bad in ("x", cursor[:-1] + "!", "A" * 300, "%00", "dGVybWluYWxzIC4uLw"):
            answer = await get(f"/api/v1/terminals?cursor={bad}")
            assert_problem(answer, 422, "validation_failed" if len(bad) > 200 else "cursor_invalid")
        assert_problem(await get(f"/api/v1/campaigns?cursor={cursor}"), 422, "cursor_invalid")
        assert_problem(await get("/api/v1/terminals?label=nonsense"), 422, "condition_invalid")
        assert_problem(await get("/api/v1/terminals?version=engine%3D2"), 422, "condition_invalid")
        assert_problem(await get("/api/v1/terminals/A1/history?cursor=" + cursor), 422, "cursor_invalid")


async def test_a_terminal_shows_facts_upgrade_and_history(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        campaign = await gateway.campaign("T1")
        seen_us = 1_790_000_000_123_456
        await gateway.save(SaveTerminal(terminal="T1", epoch=1, online=True, seen_us=seen_us, counter=4, facts=FACTS))
        shown = (await gateway.http.get("/api/v1/terminals/T1")).json()
        only = replace(FACTS, single_connection=True)
        await gateway.register("T2")
        await gateway.save(SaveTerminal(terminal="T2", epoch=1, online=True, seen_us=seen_us, counter=4, facts=only))
        single = (await gateway.http.get("/api/v1/terminals/T2")).json()
        history = (await gateway.http.get("/api/v1/terminals/T1/history?limit=1")).json()
        missing = await gateway.http.get("/api/v1/terminals/T9")

    assert shown["seen_at"] == "2026-09-21T14:13:20.123000Z"
    assert shown["facts"]["components"] == {"app": "1.4.0", "os": "11"}
    assert shown["facts"]["clock_at"] == "2026-09-21T14:13:20Z"
    assert [item["facts"]["connections"] for item in (shown, single)] == [2, 1]
    assert "single_connection" not in shown["facts"]
    assert shown["open_upgrade"]["campaign"] == campaign
    assert [entry["what"] for entry in shown["history"]] == ["created"]
    assert [entry["what"] for entry in history["items"]] == ["created"]
    assert_problem(missing, 404, "terminal_unknown")


async def test_strangers_are_listed_until_they_are_registered(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        for number in range(3):
            await terminals.note_unknown(gateway.services.db, {f"S{number}": 1}, 1_790_000_000_000_000 + number)
        page = (await gateway.http.get("/api/v1/unknown-terminals?limit=2")).json()
        rest = (await gateway.http.get(f"/api/v1/unknown-terminals?cursor={page['next']}")).json()
        await gateway.register("S2")
        after = (await gateway.http.get("/api/v1/unknown-terminals")).json()

    assert [item["id"] for item in page["items"] + rest["items"]] == ["S2", "S1", "S0"]
    assert [item["id"] for item in after["items"]] == ["S1", "S0"]


async def test_an_order_waits_for_its_result(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register("T1")
        seen = gateway.services.doorbell.version("orders")
        made = await gateway.http.post("/api/v1/terminals/T1/orders", json={"kind": "inspect"})
        order = made.json()["id"]
        await gateway.save(
            SaveOrder(
                order=order, terminal="T1", status="done", code="ok", at_us=1_790_000_000_000_000, data={"battery_pct": 81}
            )
        )
        shown = (await gateway.http.get(f"/api/v1/orders/{order}")).json()
        listed = (await gateway.http.get("/api/v1/terminals/T1/orders")).json()["items"]
        by_status = (await gateway.http.get("/api/v1/orders?status=done")).json()["items"]

        assert (made.status_code, made.json()["status"]) == (201, "pending")
        assert gateway.services.doorbell.version("orders") == seen + 1
    assert (shown["status"], shown["result"]) == ("done", {"battery_pct": 81})
    assert listed == by_status == [shown]


async def test_orders_that_cannot_be_given_say_why(tmp_path: Path) -> None:
    async with http_gateway(tmp_path) as gateway:
        await gateway.register("T1")
        post = gateway.http.post

        for kind in ("lock", "upgrade.install", "erase"):
            answer = await post("/api/v1/terminals/T1/orders", json={"kind": kind})
            assert_problem(answer, 422, "order_kind_unsupported")
            assert "reboot, inspect" in answer.json()["detail"]
        assert_problem(await post("/api/v1/terminals/T9/orders", json={"kind": "reboot"}), 404, "terminal_unknown")
        assert_problem(
            await post("/api/v1/terminals/T1/orders", json={"kind": "reboot", "expires_s": 1e12}), 422, "expires_invalid"
        )
        first = await post("/api/v1/terminals/T1/orders", json={"kind": "reboot"})
        again = await post("/api/v1/terminals/T1/orders", json={"kind": "reboot"})
        assert_problem(again, 409, "order_repeated")
        assert again.json()["facts"]["order"] == first.json()["id"]
        assert_problem(await gateway.http.get("/api/v1/orders/o-none"), 404, "order_unknown")
