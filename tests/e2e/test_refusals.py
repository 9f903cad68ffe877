"""Packages that must not be installed are refused with a code of their own, by the gateway and by the terminal itself."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from gateway.config import read_private_key
from gateway.trust.orders import sign_order
from gateway.wire import topics
from gateway.wire.codec import decode, encode
from gateway.wire.codes import OrderKind
from gateway.wire.messages import Hello, Order, Plain, Report, Welcome
from tests.e2e.hand import Air, Ear
from tests.e2e.parcels import manifest_of, parcel, uploaded
from tests.harness.stage import MODEL, OTHER_MODEL, UNSHAPED, Stage

SIZE = 200_000


def bent(package: Path, change: int | bytes) -> Path:
    """A copy of a package with bytes cut off its end (a negative number) or added to it."""
    data = package.read_bytes()
    out = package.with_suffix(".bent.tgp")
    out.write_bytes(data[:change] if isinstance(change, int) else data + change)
    return out


def test_the_gateway_refuses_a_package_at_the_door(stage: Stage) -> None:
    """Bad signature, too short, too long, a changed byte; and keeps nothing of them."""
    good = parcel(stage, size=SIZE)
    changed = good.with_suffix(".changed.tgp")
    changed.write_bytes(good.read_bytes()[:-1] + b"\0")
    files = sorted(path.name for path in (stage.home / "var" / "packages").iterdir())
    refused = {
        "signature_invalid": parcel(stage, size=SIZE, stranger=True),
        "length_mismatch": bent(good, -1000),
        "checksum_mismatch": changed,
    }
    for code, file in refused.items():
        answer = stage.upload(file)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    answer = stage.upload(bent(good, b"more"))
    assert (answer.status_code, answer.json()["code"]) == (422, "length_mismatch")

    assert sorted(path.name for path in (stage.home / "var" / "packages").iterdir()) == files


async def test_the_gateway_does_not_bother_terminals_that_a_package_is_not_for(stage: Stage, air: Air) -> None:
    """The wrong model when the campaign is drawn up; the wrong version, by the terminal's own facts, when it would start."""
    newer, same, liar, fits = stage.broker.new_terminals(4)
    stage.register([newer, same, liar, fits])
    package = uploaded(stage, parcel(stage, models=(OTHER_MODEL,)))
    body = {"name": "wrong", "package": package, "terminals": [newer]}
    assert stage.post("/campaigns", body, expected=422)["code"] == "model_mismatch"

    package = uploaded(stage, parcel(stage, version="2.7.0"))
    for name, version in ((newer, "3.0.0"), (same, "2.7.0"), (fits, "2.6.9")):
        await air.hand(stage, name, version=version).appear()
    other = air.hand(stage, liar)
    other.facts = replace(other.facts, model="another")
    await other.appear()
    campaign = stage.campaign(package, [newer, same, liar, fits])
    expected = {newer: "rejected", same: "rejected", liar: "rejected", fits: "offered"}
    await stage.until_states(campaign, expected)

    codes = {name: stage.upgrade_of(campaign, name)["code"] for name in (newer, same, liar)}
    assert codes == {newer: "version_too_low", same: "already_installed", liar: "model_mismatch"}
    stage.post(f"/campaigns/{campaign}/abort")


async def test_a_terminal_refuses_by_itself_whatever_the_gateway_says(quiet_stage: Stage, air: Air) -> None:
    """Orders signed with the right key, by a gateway that believes anything: the terminal checks the manifest itself."""
    stage = quiet_stage
    names = stage.broker.new_terminals(6)
    good = parcel(stage, size=SIZE)
    unreadable = manifest_of(good)[:-3] + b"\0\0\0"
    offers = {
        "signature_invalid": manifest_of(parcel(stage, size=SIZE, stranger=True)),
        "model_mismatch": manifest_of(parcel(stage, models=(OTHER_MODEL,))),
        "version_too_low": manifest_of(parcel(stage, version="0.9.0")),
        "already_installed": manifest_of(parcel(stage, version="1.0.0")),
    }
    stage.start_simulator(f'model = "{MODEL}"\nids = {names}\n{UNSHAPED}')
    gateway = await air.ear(stage.broker, "tg1/up/#", name="false-gateway")
    for name, (code, manifest) in zip(names, offers.items(), strict=False):
        await greeted(stage, gateway, name)
        order(stage, gateway, name, 1, OrderKind.UPGRADE_OFFER, offer(manifest))
        assert await answer_of(stage, gateway, name) == ("rejected", code)

    await greeted(stage, gateway, names[4])
    order(stage, gateway, names[4], 1, OrderKind.UPGRADE_OFFER, offer(unreadable))
    assert await answer_of(stage, gateway, names[4]) == ("rejected", "manifest_invalid")
    await greeted(stage, gateway, names[5])
    order(stage, gateway, names[5], 1, OrderKind.UPGRADE_OFFER, offer(manifest_of(good)))
    assert await answer_of(stage, gateway, names[5]) == ("accepted", "ok")
    order(stage, gateway, names[5], 2, OrderKind.UPGRADE_PREPARE, {"u": "u1"})
    assert await answer_of(stage, gateway, names[5]) == ("ready", "ok")
    args: dict[str, Plain] = {"u": "u1", "x": 3, "size": SIZE + 1, "sha256": bytes(32)}
    order(stage, gateway, names[5], 3, OrderKind.UPGRADE_TRANSFER, args)
    assert await answer_of(stage, gateway, names[5]) == ("failed", "length_mismatch")


def offer(manifest: bytes) -> dict[str, Plain]:
    """The arguments of an offer that asks nobody."""
    return {"u": "u1", "m": manifest, "ask": False, "est": {}, "end_ms": 2**48}


def order(stage: Stage, gateway: Ear, terminal: str, counter: int, kind: OrderKind, args: dict[str, Plain]) -> None:
    """Sign an order with the gateway's true key and send it."""
    now_ms = int(time.time() * 1000)
    body = Order(
        id=f"u1-{counter}",
        counter=counter,
        shard_epoch=1,
        terminal=terminal,
        kind=kind,
        args=args,
        not_before_ms=now_ms - 60_000,
        not_after_ms=now_ms + 3_600_000,
    )
    key = read_private_key(stage.home / "keys" / "order.key")
    gateway.shout(topics.down(terminal, "order"), encode(sign_order(body, key)))


async def greeted(stage: Stage, gateway: Ear, terminal: str) -> None:
    """Wait for a terminal's hello and welcome it."""

    def look() -> Hello | None:
        for topic, payload in gateway.heard:
            message = decode("hello", payload) if topic == topics.up(terminal, "hello") else None
            if isinstance(message, Hello):
                return message
        return None

    found = await stage.until(look, f"the hello of {terminal}")
    assert found is not None
    gateway.shout(topics.down(terminal, "welcome"), encode(Welcome(epoch=found.epoch, now_ms=int(time.time() * 1000))))


async def answer_of(stage: Stage, gateway: Ear, terminal: str) -> tuple[str, str]:
    """What a terminal reports next, and its code."""
    seen = {payload for topic, payload in gateway.heard if topic == topics.up(terminal, "report")}

    def look() -> Report | None:
        for topic, payload in gateway.heard:
            if topic == topics.up(terminal, "report") and payload not in seen:
                message = decode("report", payload)
                assert isinstance(message, Report)
                return message
        return None

    found = await stage.until(look, f"a report of {terminal}")
    assert found is not None
    return found.what.value, found.code.value
