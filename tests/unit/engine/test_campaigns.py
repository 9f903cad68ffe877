"""What the rows of campaigns say is carried out, look by look."""

from __future__ import annotations

from pathlib import Path

import anyio

from gateway.store import campaigns, ledger
from gateway.trust.keys import KeyRing
from gateway.wire.codes import Code, OrderKind, What
from gateway.wire.messages import Report
from tests.unit.engine.rig import NOW, Rig, rigged


async def here(rig: Rig, *names: str, version: str = "1.0.0") -> None:
    """Terminals that are online."""
    await rig.register(*names)
    for name in names:
        rig.air.appear(name, version=version)
    await rig.until(lambda: all(rig.air.told(name) for name in names))


async def test_upgrades_start_as_places_are_free(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await here(rig, "T1", "T2", "T3")
        await rig.campaign("T1", "T2", "T3", max_active=2)
        await rig.look()

        assert sorted((await rig.states("T1", "T2", "T3")).values()) == ["offered", "offered", "scheduled"]
        offered = [order.kind for name in ("T1", "T2", "T3") for order in rig.air.orders(name)]
        assert offered == [OrderKind.UPGRADE_OFFER] * 2


async def test_a_package_that_does_not_fit_is_refused_without_a_word_on_the_air(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await here(rig, "T1", version="2.0.0")
        await rig.campaign("T1")
        await rig.look()

        assert await rig.states("T1") == {"T1": "rejected"}
        assert rig.air.orders("T1") == []


async def test_a_paused_campaign_starts_nothing_and_an_aborted_one_ends_all(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await here(rig, "T1", "T2")
        await rig.campaign("T1", "T2", max_active=1)
        await campaigns.set_state(rig.db, "c1", "paused", expected=("running",), at_us=int(NOW * 1e6), reason="operator:li")
        await rig.look()
        assert set((await rig.states("T1", "T2")).values()) == {"scheduled"}

        await campaigns.set_state(rig.db, "c1", "running", expected=("paused",), at_us=int(NOW * 1e6))
        await rig.look()
        await campaigns.set_state(rig.db, "c1", "aborted", expected=("running",), at_us=int(NOW * 1e6), reason="operator:li")
        await rig.look()
        assert set((await rig.states("T1", "T2")).values()) == {"cancelled"}
        told = [[order.kind for order in rig.air.orders(name)] for name in ("T1", "T2")]
        assert sorted(told, key=len) == [[], [OrderKind.UPGRADE_OFFER, OrderKind.UPGRADE_CANCEL]]


async def test_the_end_of_a_campaign_expires_what_has_not_begun_to_install(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await here(rig, "T1")
        await rig.campaign("T1")
        await rig.look()
        rig.clock.time += 31 * 86_400
        await rig.look()
        await rig.look()

        assert await rig.states("T1") == {"T1": "expired"}
        row = await campaigns.get(rig.db, "c1")
        assert row is not None
        assert row.state == "finished"


async def test_a_campaign_whose_publisher_is_believed_no_more_pauses_and_what_is_under_way_goes_on(tmp_path: Path) -> None:
    """Above all, a gateway that is started without that publisher's key comes up."""
    async with rigged(tmp_path) as rig:
        await rig.register("T1", "T2")
        await here(rig, "T1")
        await rig.campaign("T1", "T2")
        await rig.look()
    async with rigged(tmp_path, KeyRing([])) as rig:
        await rig.sessions.load(["T1"])
        await here(rig, "T2")
        for _ in range(3):
            await rig.look()

        assert await rig.states("T1", "T2") == {"T1": "offered", "T2": "scheduled"}
        row = await campaigns.get(rig.db, "c1")
        assert row is not None
        assert (row.state, "not believed" in row.reason) == ("paused", True)
        paused = [entry for entry in await ledger.tail(rig.db, after_seq=0) if entry.what == "campaign_paused"]
        assert len(paused) == 1


async def test_places_that_were_taken_before_a_restart_are_taken_after_it(tmp_path: Path) -> None:
    """Before recovery has brought their sessions back into memory too."""
    async with rigged(tmp_path) as rig:
        await here(rig, "T1", "T2")
        await rig.campaign("T1", "T2", max_active=1)
        await rig.look()
    async with rigged(tmp_path) as rig:
        await rig.look()

        assert sorted((await rig.states("T1", "T2")).values()) == ["offered", "scheduled"]


async def test_what_installed_while_its_campaign_was_aborted_is_not_begun_again(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await here(rig, "T1")
        await rig.campaign("T1")
        await rig.look()
        rig.air.say("T1", Report(upgrade="c1-1", seq=1, what=What.INSTALLING))
        await rig.until(lambda: rig.counters["in:report"] == 1)
        await campaigns.set_state(rig.db, "c1", "aborted", expected=("running",), at_us=int(NOW * 1e6), reason="operator:li")
        await rig.executor.flush()
        await rig.look()
        assert await rig.states("T1") == {"T1": "installing"}

        rig.air.say("T1", Report(upgrade="c1-1", seq=2, what=What.FAILED, code=Code.INSTALL_FAILED))
        await rig.until(lambda: rig.counters["in:report"] == 2)
        await rig.executor.flush()
        await rig.look()
        assert await rig.states("T1") == {"T1": "cancelled"}


async def test_a_staged_upgrade_installs_once_released_and_not_while_the_campaign_is_paused(tmp_path: Path) -> None:
    async with rigged(tmp_path) as rig:
        await here(rig, "T1")
        await rig.campaign("T1", install_on_release=True, ask_merchant=False)
        await rig.look()
        for seq, what in enumerate((What.ACCEPTED, What.READY, What.STAGED), 1):
            rig.air.say("T1", Report(upgrade="c1-1", seq=seq, what=what))
        with anyio.fail_after(5):
            while await rig.states("T1") != {"T1": "staged"}:  # noqa: ASYNC110 - the store's threads have no event to wait for
                await anyio.sleep(0.002)
        await rig.look()
        assert await rig.states("T1") == {"T1": "staged"}

        row = await campaigns.get(rig.db, "c1")
        assert row is not None
        await campaigns.set_settings(rig.db, "c1", dict(row.settings) | {"install_released_by": "operator:li"})
        await campaigns.set_state(rig.db, "c1", "paused", expected=("running",), at_us=int(NOW * 1e6), reason="operator:li")
        await rig.look()
        assert await rig.states("T1") == {"T1": "staged"}

        await campaigns.set_state(rig.db, "c1", "running", expected=("paused",), at_us=int(NOW * 1e6))
        await rig.look()
        assert await rig.states("T1") == {"T1": "installing"}
        [entry] = [one for one in await ledger.of_upgrade(rig.db, "c1-1", limit=50) if one.what == "install"]
        assert entry.actor == "operator:li"
