"""Terminals with one connection for everything, on a real broker: whole upgrades, orders in between, and a bound that holds.

How much is on the way is read from the gateway's own connection to the broker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from gateway.core.single import CEILING_BYTES, IN_FLIGHT_BYTES
from gateway.wire.codec import MAX_CHUNK_BYTES, decode
from gateway.wire.codes import OrderKind, What
from gateway.wire.messages import BLOCK_BYTES, SEGMENT_BYTES, Ack, Chunk
from gateway.wire.topics import parse_down, parse_up
from tests.e2e.accounts import check_bytes, check_ledger, check_reports
from tests.e2e.hand import Air, Hand
from tests.e2e.parcels import parcel, uploaded
from tests.e2e.test_crashes import SIZE, halfway, transferring
from tests.e2e.test_orders import settled
from tests.harness.broker import Broker
from tests.harness.stage import MODEL, OTHER_MODEL, Stage
from tests.harness.wiretap import Wiretap

#: 2 Mbit/s: the package takes more than six seconds.
SLOW = "link = { bare = true, down_bps = 2_000_000, up_bps = 1_000_000, delay_ms = 20 }"
MANY = 1 << 30


class Meter:
    """Chunks that went to each terminal's only connection and that no ack has named yet, those of dead ones included."""

    def __init__(self) -> None:
        self.most_bytes: dict[str, int] = {}
        self.most_messages: dict[str, int] = {}
        self.bulk: set[str] = set()
        """Terminals that were sent chunks on a bulk connection."""
        self._flights: dict[str, dict[int, int]] = {}

    def heard(self, topic: str, payload: bytes) -> None:
        """A message between gateway and broker."""
        if topic.endswith("/chunk"):
            address, chunk = parse_down(topic), decode("chunk", payload)
            assert isinstance(chunk, Chunk)
            if address.bulk:
                self.bulk.add(address.terminal)
                return
            flights = self._flights.setdefault(address.terminal, {})
            flights[chunk.number] = len(chunk.data)
            self.most_bytes[address.terminal] = max(self.most_bytes.get(address.terminal, 0), sum(flights.values()))
            self.most_messages[address.terminal] = max(self.most_messages.get(address.terminal, 0), len(flights))
        elif topic.startswith("tg1/up/") and topic.endswith("/ack") and "_gateway" not in topic:
            address, ack = parse_up(topic), decode("ack", payload)
            assert isinstance(ack, Ack)
            flights = self._flights.get(address.terminal, {})
            for number in [number for number in flights if number <= ack.number]:
                del flights[number]


@pytest.fixture
def meter() -> Meter:
    """What the wiretap of ``tapped`` has counted."""
    return Meter()


@pytest.fixture
def tapped(own_broker: Broker, tmp_path: Path, meter: Meter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage whose gateway talks to its broker through a wiretap."""
    with Wiretap(own_broker.port, meter.heard) as tap, Stage(tmp_path / "stage", own_broker) as stage:
        monkeypatch.setenv("TILLGATE_BROKER_PORT", str(tap.port))
        monkeypatch.setenv("TILLGATE_TRANSFER_PACING", "fixed")  # takes all that it may
        stage.start_gateway()
        yield stage


async def test_upgrades_end_well_over_a_dead_gateway_and_a_dead_broker_and_orders_come_between(
    tapped: Stage, meter: Meter
) -> None:
    """Both sorts in one campaign, with payments; nothing verified is sent twice, no report lost, an inspection needs no gap."""
    stage = tapped
    names = stage.broker.new_terminals(3)
    single, double = names[:2], names[2:]
    simulator = stage.start_simulator(
        f'model = "{MODEL}"\nids = {single}\nconnections = 1\nshop = {{ payment_every_s = 800.0 }}\n{SLOW}',
        f'model = "{OTHER_MODEL}"\nids = {double}\n{SLOW}',
    )
    stage.register(single)
    stage.register(double, OTHER_MODEL)
    await stage.ready()
    campaign = transferring(stage, *names)
    await halfway(stage, campaign)
    inspected = await settled(stage, stage.post(f"/terminals/{single[0]}/orders", {"kind": "inspect"})["id"])
    assert inspected["status"] == "done"
    assert stage.states(campaign)[single[0]] == "transferring", "the answer came behind the package"

    stage.kill_gateway()
    stage.start_gateway()
    await stage.ready()
    stage.broker.restart()
    await stage.until_states(campaign, dict.fromkeys(names, "succeeded"), timeout_s=60)

    assert meter.bulk == set(double)
    for name in single:
        assert CEILING_BYTES - MAX_CHUNK_BYTES < meter.most_bytes[name] <= IN_FLIGHT_BYTES + BLOCK_BYTES, meter.most_bytes
        assert meter.most_messages[name] <= IN_FLIGHT_BYTES // BLOCK_BYTES + 1
    assert [stage.get(f"/terminals/{name}")["facts"]["connections"] for name in names] == [1, 1, 2]
    assert "connections" in stage.run("terminal", "show", single[0]).stdout
    check_ledger(stage, campaign)
    await stage.until(lambda: simulator.status["phases"].get("done") == len(names), "all terminals to be done")
    accounts = simulator.finish()
    assert {name: account["connections"] for name, account in accounts.items()} == dict(zip(names, [1, 1, 2], strict=True))
    check_reports(stage, campaign, accounts)
    check_bytes(accounts, SIZE, wasted_max=2 * SEGMENT_BYTES)


async def test_a_terminal_that_says_nothing_more_is_sent_no_more_than_its_bound(tapped: Stage, air: Air) -> None:
    """By hand: one block, then the window, then one probe; an order all the same; and one block of the next gateway."""
    stage = tapped
    [name] = stage.broker.new_terminals(1)
    stage.register([name])
    hand = air.hand(stage, name)
    hand.facts = replace(hand.facts, single_connection=True)
    await hand.appear()
    stage.campaign(uploaded(stage, parcel(stage)), [name])
    await hand.upgrade_to(What.READY)
    transfer = (await hand.order(OrderKind.UPGRADE_TRANSFER)).args["x"]
    assert isinstance(transfer, int)

    hand.say(_ack(transfer, 1))
    first = await hand.hear(Chunk)
    await anyio.sleep(0.3)
    assert [len(chunk.data) for chunk in _chunks(hand)] == [BLOCK_BYTES], "more than one block before its ack"
    hand.say(_ack(transfer, 2, number=first.number, cum=1))
    await hand.hear(Chunk)
    await anyio.sleep(4.0)  # past the first probe, which comes after three seconds of silence
    unheard = sum(len(chunk.data) for chunk in _chunks(hand)[1:])
    assert CEILING_BYTES - MAX_CHUNK_BYTES < unheard <= IN_FLIGHT_BYTES

    order = stage.post(f"/terminals/{name}/orders", {"kind": "inspect"})["id"]
    assert (await hand.order(OrderKind.INSPECT)).id == order
    stage.kill_gateway()
    stage.start_gateway()
    known = len(_chunks(hand))
    for seq in range(3, 40):
        hand.say(_ack(transfer, seq, number=first.number, cum=1))
        await anyio.sleep(0.25)
        if len(_chunks(hand)) > known:
            break
    await anyio.sleep(4.0)

    assert [len(chunk.data) for chunk in _chunks(hand)[known:]] == [BLOCK_BYTES]


def _ack(transfer: int, seq: int, *, number: int = 0, cum: int = 0) -> Ack:
    return Ack(
        transfer=transfer,
        epoch=1,
        seq=seq,
        number=number,
        cum=cum,
        ranges=(),
        credit_bytes=MANY,
        delay_ms=0,
        echo_ms=0,
    )


def _chunks(hand: Hand) -> list[Chunk]:
    found = [decode("chunk", payload) for topic, payload in hand.heard if topic.endswith("/chunk")]
    return [chunk for chunk in found if isinstance(chunk, Chunk)]
