"""A terminal's own account of its life, as plain values: for checks against the gateway's ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from device_sim.terminal import Terminal
from gateway.wire.messages import Report


def summarize(terminal: Terminal) -> dict[str, Any]:
    """Everything that a check may want to compare; JSON can hold it."""
    board, firmware = terminal.board, terminal.firmware
    tally = board.tally
    found: dict[str, Any] = {
        "id": terminal.id,
        "model": board.profile.model,
        "connections": board.options.connections,
        "on": firmware is not None,
        "boots": tally.boots,
        "power_cuts": tally.power_cuts,
        "received_bytes": tally.received_bytes,
        "useful_bytes": tally.useful_bytes,
        "repeated_bytes": tally.repeated_bytes,
        "chunks": tally.chunks,
        "acks": tally.acks,
        "payments_ok": board.shop.ok_count,
        "payments_failed": board.shop.failed_count,
        "payments": board.shop.till.delays.summary(),
        "battery_pct": board.battery.percent,
        "epoch": board.journal.integer("epoch"),
        "events": dict(tally.events),
        "reports": [_report(report) for report in tally.diary],
    }
    if firmware is not None:
        record = firmware.dossier.record
        found |= {
            "slot": firmware.slots.running,
            "versions": firmware.slots.versions(firmware.slots.running),
            "counter": firmware.book.gate.counter,
            "upgrade": record.id if record else "",
            "phase": record.phase.value if record else "",
            "unreceipted": len(firmware.outbox),
        }
    return found


def _report(report: Report) -> dict[str, Any]:
    return {
        "upgrade": report.upgrade,
        "seq": report.seq,
        "what": report.what.value,
        "code": report.code.value,
        "at_ms": report.at_ms,
        "detail": _plain(report.detail),
    }


def _plain(value: object) -> Any:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
