"""Gateway and broker die in mid-transfer: nothing verified is sent again, no report is lost, the campaign ends right."""

from __future__ import annotations

import time
from functools import partial

from gateway.wire import topics
from gateway.wire.codec import decode
from gateway.wire.codes import Code, OrderKind, ResultStatus, What
from gateway.wire.messages import BLOCK_BYTES, BLOCKS_PER_SEGMENT, SEGMENT_BYTES, Chunk, Hello, Result
from gateway.wire.ranges import RangeSet
from tests.e2e.accounts import check_bytes, check_ledger, check_reports
from tests.e2e.hand import Air, Ear
from tests.e2e.parcels import parcel, uploaded, version_of
from tests.harness.stage import MODEL, OTHER_MODEL, Stage

SIZE = 1_600_000
#: 4 Mbit/s: the package takes more than three seconds.
SLOW = "link = { bare = true, down_bps = 4_000_000, up_bps = 2_000_000, delay_ms = 5 }"


def transferring(stage: Stage, *names: str) -> str:
    """A campaign over new slow terminals; its id."""
    package = uploaded(stage, parcel(stage, size=SIZE))
    return stage.campaign(package, names, failure_min=100)


async def halfway(stage: Stage, campaign: str) -> dict[str, int]:
    """Wait until each terminal has verified some of the package and misses some; verified bytes by terminal."""

    def look() -> dict[str, int]:
        rows = stage.pages(f"/campaigns/{campaign}/upgrades")
        found = {row["terminal"]: row["verified_bytes"] for row in rows}
        assert max(found.values()) < SIZE, "too fast for this test"
        return found if min(found.values()) > 3 * SEGMENT_BYTES else {}

    return await stage.until(look, "half of the package")


def chunks(spy: Ear, since_ms: int = 0) -> list[Chunk]:
    """The chunks that a spy has heard and that were sent at ``since_ms`` (Unix time) or later, by their own stamps.

    Stamps and not arrival: what the dead gateway sent may still be on its way to the spy when the next one starts.
    """
    found = [decode("chunk", payload) for topic, payload in spy.heard if topic.endswith("/chunk")]
    return [chunk for chunk in found if isinstance(chunk, Chunk) and chunk.stamp_ms >= since_ms]


def blocks(sent: list[Chunk]) -> RangeSet:
    """Blocks that these chunks carry."""
    out = RangeSet()
    for chunk in sent:
        out.add(chunk.index, chunk.index + -(-len(chunk.data) // BLOCK_BYTES))
    return out


async def test_a_killed_gateway_goes_on_where_the_terminals_are(own_stage: Stage, air: Air) -> None:
    """A spy on the air sees that after the restart no chunk touches a segment that its terminal had verified before."""
    stage = own_stage
    names = stage.broker.new_terminals(3)
    simulator = stage.start_simulator(f'model = "{MODEL}"\nids = {names}\n{SLOW}')
    stage.register(names)
    spies = {
        name: await air.ear(stage.broker, topics.down_filter(name, bulk=True), user=name, name=f"spy-{name}") for name in names
    }
    hellos = await air.ear(stage.broker, "tg1/up/+/+/hello", name="spy")
    await stage.ready()
    campaign = transferring(stage, *names)
    await halfway(stage, campaign)

    stage.kill_gateway()
    killed_ms = int(time.time() * 1000)
    said = len(hellos.heard)
    stage.start_gateway()
    await stage.until_states(campaign, dict.fromkeys(names, "succeeded"))

    for name in names:
        after = chunks(spies[name], killed_ms)
        have = RangeSet(_first_hello(hellos, said, name))
        verified = RangeSet()
        for start, stop in have:
            verified.add(start * BLOCKS_PER_SEGMENT, stop * BLOCKS_PER_SEGMENT)
        assert verified.count >= 3 * BLOCKS_PER_SEGMENT
        assert after, "nothing was left to send"
        assert list(verified) == list(_untouched(verified, blocks(after))), f"{name} was sent verified blocks again"
        assert list(blocks(chunks(spies[name]))) == [(0, -(-SIZE // BLOCK_BYTES))]

    check_ledger(stage, campaign)
    await stage.until(lambda: simulator.status["phases"].get("done") == len(names), "all terminals to be done")
    accounts = simulator.finish()
    check_reports(stage, campaign, accounts)
    check_bytes(accounts, SIZE, wasted_max=SEGMENT_BYTES)  # what was on the way when the gateway died may come twice


async def test_a_killed_broker_costs_no_more_than_what_was_on_the_way(own_stage: Stage) -> None:
    """All sessions are gone, both connections of every terminal break, and twice in a row."""
    stage = own_stage
    names = stage.broker.new_terminals(3)
    simulator = stage.start_simulator(
        f'model = "{MODEL}"\nids = {names[:2]}\n{SLOW}', f'model = "{OTHER_MODEL}"\nids = {names[2:]}\n{SLOW}'
    )
    stage.register(names[:2])
    stage.register(names[2:], OTHER_MODEL)
    await stage.ready()
    campaign = transferring(stage, *names)
    await halfway(stage, campaign)

    stage.broker.kill()
    await stage.until(lambda: len(stage.not_ready) == 2, "the gateway to notice")
    stage.broker.start()
    await stage.ready()
    stage.broker.kill()
    stage.broker.start()
    await stage.until_states(campaign, dict.fromkeys(names, "succeeded"), timeout_s=60)

    check_ledger(stage, campaign)
    await stage.until(lambda: simulator.status["phases"].get("done") == len(names), "all terminals to be done")
    accounts = simulator.finish()
    check_reports(stage, campaign, accounts)
    check_bytes(accounts, SIZE, wasted_max=2 * SEGMENT_BYTES)
    assert "store_failed" not in stage.counters


async def test_a_report_said_while_the_gateway_was_dead_is_not_lost(own_stage: Stage) -> None:
    """The gateway is killed as soon as the last chunks are out, and again while terminals prove themselves."""
    stage = own_stage
    names = stage.broker.new_terminals(3)
    simulator = stage.start_simulator(f'model = "{MODEL}"\nids = {names}\n{SLOW}', speed=100)
    stage.register(names)
    await stage.ready()
    campaign = transferring(stage, *names)
    for state in ("installing", "soaking"):
        await stage.until(partial(_seen, stage, campaign, state), state)
        stage.kill_gateway()
        stage.start_gateway()
    await stage.until_states(campaign, dict.fromkeys(names, "succeeded"))

    check_ledger(stage, campaign)
    await stage.until(lambda: simulator.status["phases"].get("done") == len(names), "all terminals to be done")
    await stage.until(
        lambda: all(account["unreceipted"] == 0 for account in simulator.accounts().values()),
        "every report to have its receipt",
    )
    accounts = simulator.finish()
    check_reports(stage, campaign, accounts)
    check_bytes(accounts, SIZE, wasted_max=2 * SEGMENT_BYTES)


async def test_a_terminal_replaced_in_the_middle_of_its_upgrade_is_asked_anew(stage: Stage, air: Air) -> None:
    """The new one has the old one's name and an empty journal: it numbers its reports from 1, and all of them count."""
    [name] = stage.broker.new_terminals(1)
    stage.register([name])
    old = air.hand(stage, name)
    await old.appear()
    campaign = stage.campaign(uploaded(stage, parcel(stage)), [name])
    upgrade = await old.upgrade_to(What.READY)
    old.close()

    new = air.hand(stage, name)
    new.epoch = old.epoch  # as the welcome would tell it
    await new.appear()
    order = await new.order(OrderKind.UPGRADE_TRANSFER)
    new.say(Result(order=order.id, status=ResultStatus.REFUSED, code=Code.UPGRADE_UNKNOWN))
    assert await new.upgrade_to(What.INSTALLING) == upgrade
    await new.prove(upgrade, version_of(stage, stage.get(f"/campaigns/{campaign}")["package"]))

    assert stage.states(campaign) == {name: "succeeded"}


def _seen(stage: Stage, campaign: str, state: str) -> bool:
    return state in stage.states(campaign).values()


def _untouched(verified: RangeSet, sent: RangeSet) -> RangeSet:
    """The verified blocks that were not sent."""
    out = RangeSet(verified)
    for start, stop in sent:
        out.remove(start, stop)
    return out


def _first_hello(spy: Ear, start: int, terminal: str) -> tuple[tuple[int, int], ...]:
    """What a terminal's first hello since ``start`` holds verified."""
    for topic, payload in spy.heard[start:]:
        if topic != topics.up(terminal, "hello"):
            continue
        hello = decode("hello", payload)
        if isinstance(hello, Hello) and hello.upgrade is not None:
            return hello.upgrade.have
    raise AssertionError(f"{terminal} said no hello")
