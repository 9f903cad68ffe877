"""Groups of a scenario: a ``[[group]]`` table becomes terminals with their profile, shop, merchant, battery and faults.

Called by ``scenario`` alone. Strict in the same way: what is unknown or out of range is a ``ConfigError`` of one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from device_sim.faults import ALWAYS, CutAt, Duty, Faults, PowerCut
from device_sim.options import Battery, Merchant, Options, Shop
from device_sim.profiles import Profile, load_profile, read_link
from device_sim.reading import Reader
from gateway.errors import ConfigError
from gateway.wire.codes import Phase
from gateway.wire.topics import is_terminal_id

MAX_TERMINALS: Final = 100_000
_ANSWERS: Final = frozenset({"accept", "decline", "silent", "postpone"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One terminal of a scenario."""

    id: str
    labels: Mapping[str, str]
    profile: Profile
    options: Options
    faults: Faults


def read_group(group: Reader, speed: float) -> list[Entry]:
    """The terminals of one ``[[group]]``; ``speed`` is the scenario's, unless the group has its own."""
    ids = _ids(group)
    profile = load_profile(group.text("model"))
    profile = replace(profile, link=read_link(group.table("link"), profile.link))
    default = Options()
    components = group.strings("components")
    options = Options(
        components=components or default.components,
        parameters=group.strings("parameters") or default.parameters,
        merchant=_merchant(group.table("merchant")),
        shop=_shop(group.table("shop")),
        battery=_battery(group.table("battery")),
        storage_used_bytes=group.integer("storage_used_bytes", 0),
        speed=group.number("speed", speed, low=0.001),
        reconnect_base_s=group.number("reconnect_base_s", default.reconnect_base_s, low=0.001),
        reconnect_cap_s=group.number("reconnect_cap_s", default.reconnect_cap_s, low=0.001),
        connections=group.integer("connections", profile.connections, low=1, high=2),
        credit_bytes=group.integer("credit_bytes", default.credit_bytes, low=1024, high=2**31),
        receive_buffer_bytes=group.integer("receive_buffer_bytes", default.receive_buffer_bytes, high=2**31),
        quiet_s=group.number("quiet_s", default.quiet_s, high=60.0),
        keep_payload=group.flag("keep_payload", default=default.keep_payload),
    )
    labels = group.strings("labels")
    faults = _faults(group.table("faults"))
    group.done()
    return [Entry(id=name, labels=labels, profile=profile, options=options, faults=faults) for name in ids]


def _ids(group: Reader) -> list[str]:
    """``ids`` names them; otherwise ``count`` and ``prefix``, numbered from ``first``."""
    ids = list(group.texts("ids", ()))
    if not ids:
        count = group.integer("count", low=1, high=MAX_TERMINALS)
        prefix, first = group.text("prefix"), group.integer("first", 1)
        width = len(str(first + count - 1))
        _check_ids(group, [f"{prefix}{first:0{width}}"])  # before there are a hundred thousand of a wrong one
        ids = [f"{prefix}{number:0{width}}" for number in range(first, first + count)]
    _check_ids(group, ids)
    return ids


def _check_ids(group: Reader, ids: list[str]) -> None:
    wrong = next((name for name in ids if not is_terminal_id(name)), None)
    if wrong is not None:
        raise ConfigError(f"{group.where}: {wrong[:80]!r} is no terminal id ([A-Za-z0-9_-]{{1,64}})", code="scenario_invalid")


def _merchant(table: Reader) -> Merchant:
    default = Merchant()
    answers = table.texts("answers", default.answers)
    for answer in answers:
        word, _, seconds = answer.partition(":")
        if word not in _ANSWERS or (word == "postpone") != seconds.replace(".", "", 1).isdigit():
            raise table.wrong("answers", "accept, postpone:SECONDS, decline or silent", answer)
    found = Merchant(answers=answers or default.answers, delay_s=table.span("delay_s", default.delay_s))
    table.done()
    return found


def _shop(table: Reader) -> Shop:
    default = Shop()
    found = Shop(
        open_min=table.integer("open_min", default.open_min, high=24 * 60),
        close_min=table.integer("close_min", default.close_min, high=24 * 60),
        utc_offset_min=table.integer("utc_offset_min", default.utc_offset_min, low=-14 * 60, high=14 * 60),
        time_zone=table.text("time_zone", default.time_zone),
        payment_every_s=table.span("payment_every_s", default.payment_every_s),
        payments_from_s=table.number("payments_from_s", default.payments_from_s),
        lead_s=table.span("lead_s", default.lead_s),
        host_s=table.span("host_s", default.host_s),
        request_bytes=table.integer("request_bytes", default.request_bytes, low=1, high=1 << 20),
        answer_bytes=table.integer("answer_bytes", default.answer_bytes, low=1, high=1 << 20),
        declined_p=table.number("declined_p", default.declined_p, high=1.0),
        unsettled_count=table.integer("unsettled_count", default.unsettled_count),
    )
    table.done()
    return found


def _battery(table: Reader) -> Battery:
    default = Battery()
    found = Battery(
        start_pct=table.number("start_pct", default.start_pct, high=100),
        charging=table.flag("charging", default=default.charging),
        plug_at_s=table.number("plug_at_s") if "plug_at_s" in table else None,
        plug_below_pct=table.number("plug_below_pct", default.plug_below_pct, high=100),
    )
    table.done()
    return found


def _faults(table: Reader) -> Faults:
    default = Faults()

    def counted(key: str, usual: int) -> int:
        return table.integer(key, usual, low=ALWAYS)

    duty = table.table("duty") if "duty" in table else None
    found = Faults(
        power_cuts=tuple(_power_cut(cut) for cut in table.tables("power_cuts")),
        boot_loop=counted("boot_loop", 0),
        selftest=table.text("selftest", ""),
        selftest_failures=counted("selftest_failures", default.selftest_failures),
        install_failures=counted("install_failures", 0),
        backup_failures=counted("backup_failures", 0),
        settle_failures=counted("settle_failures", 0),
        bad_segments=table.integer("bad_segments", 0, high=1000),
        lying_version=table.flag("lying_version", default=False),
        health_regressed_after=table.integer("health_regressed_after", 0),
        clock_skew_s=table.number("clock_skew_s", 0.0, low=-1e9, high=1e9),
        duty=_duty(duty) if duty is not None else None,
        garbage_every_s=table.number("garbage_every_s", 0.0),
        duplicate_p=table.number("duplicate_p", 0.0, high=1.0),
    )
    if found.selftest not in {"", "payment", "refund", "query"}:
        raise table.wrong("selftest", "payment, refund or query", found.selftest)
    table.done()
    return found


def _power_cut(table: Reader) -> PowerCut:
    default = PowerCut(at=CutAt.TIME)
    try:
        at, phase = CutAt(table.text("at")), Phase(table.text("phase", default.phase.value))
    except ValueError as exc:
        raise ConfigError(f"{table.where}: {exc}", code="scenario_invalid") from exc
    found = PowerCut(at=at, value=table.number("value", 0.0), phase=phase, off_s=table.span("off_s", default.off_s))
    table.done()
    return found


def _duty(table: Reader) -> Duty:
    found = Duty(
        period_s=table.number("period_s", low=0.001),
        fraction=table.number("fraction", high=1.0),
        offset_s=table.number("offset_s", 0.0),
    )
    table.done()
    return found
