"""The terminals' side of the invariants: looks into each journal after each input, and at all that ended when it is over."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from device_sim.dossier import STAGE, pairs
from device_sim.flash import Blob
from gateway.core.states import FINAL, UpgradeState
from gateway.errors import WireError
from gateway.wire.codec import decode
from gateway.wire.messages import Plain, Report
from tests.simulation.judge import BrokenError, Invariant, Judge
from tests.simulation.props import BY_MANIFEST, Release
from tests.simulation.station import Station
from tests.simulation.store import ENDED, Store


@dataclass(slots=True)
class _Seen:
    """What was last seen of one terminal's journal: only what has changed is looked at."""

    power_cuts: int = 0
    dead_boot: int = -1
    """The boot that ended without power: its journal in memory holds what never became durable."""
    gate: Plain = None
    number: int = 0
    counter: int = 0
    shard_epoch: int = 0
    have: Plain = None
    blobs: dict[int, Blob] = field(default_factory=dict)
    boot: Plain = None
    on_trial: bool = False
    record: Plain = None
    let_through: set[str] = field(default_factory=set)
    installed: set[str] = field(default_factory=set)
    reports: dict[tuple[str, int], bytes] = field(default_factory=dict)
    payloads: set[bytes] = field(default_factory=set)


class Inspector:
    """See the module."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._seen: dict[str, _Seen] = {}

    def drove(self, station: Station) -> None:
        """See ``station.Watch``."""
        board = station.device.board
        seen = self._seen.get(board.identity.id)
        if seen is None:
            seen = self._seen[board.identity.id] = _Seen()
        if board.tally.power_cuts != seen.power_cuts:
            seen.power_cuts = board.tally.power_cuts
            seen.gate = seen.have = seen.boot = seen.record = None
            seen.blobs.clear()
            if station.device.firmware is None:
                seen.dead_boot = board.tally.boots
        if board.tally.boots == seen.dead_boot:
            return  # the next one shows what is durable
        journal = board.journal
        if (gate := journal.get("gate")) is not seen.gate:
            seen.gate = gate
            self._gate(station, seen, gate)
        if (have := journal.get("have")) is not seen.have:
            seen.have = have
            self._claims(station, seen, have)
        if (boot := journal.get("boot")) is not seen.boot:
            seen.boot = boot
            self._boot(station, seen, boot)
        if (record := journal.get("up")) is not seen.record:
            seen.record = record
            if isinstance(record, dict) and record["p"] == "staged":
                self._staged(station, have)

    def said(self, station: Station, kind: str, payload: bytes) -> None:
        """See ``station.Watch``."""
        if kind != "report" or station.device.board.garbage_at is not None:
            return
        seen = self._seen[station.name]
        if payload in seen.payloads:
            return
        seen.payloads.add(payload)
        report = decode(kind, payload)
        if not isinstance(report, Report):
            raise TypeError(report)
        if seen.reports.setdefault((report.upgrade, report.seq), payload) != payload:
            raise BrokenError(Invariant.REPORTS, f"{station.name}: report {report.seq} of {report.upgrade} says two things")

    # -- after each input

    def _gate(self, station: Station, seen: _Seen, gate: Plain) -> None:
        self._judge.checks += 1
        match gate:
            case (int(counter), int(shard_epoch), int(), int(number), int(order_epoch)):
                pass
            case _:
                return
        if shard_epoch < seen.shard_epoch:
            raise BrokenError(Invariant.OLD_EPOCH, f"{station.name}: forgets epoch {seen.shard_epoch}")
        if number > seen.number:
            entry = station.device.board.journal.get(f"o/{number % 64}")
            order = str(entry[1]) if isinstance(entry, tuple) and isinstance(entry[1], str) else ""
            where = f"{station.name}: order {order} #{counter}"
            if order_epoch < seen.shard_epoch:
                raise BrokenError(Invariant.OLD_EPOCH, f"{where} of epoch {order_epoch} let through after {seen.shard_epoch}")
            if order in seen.let_through or counter <= seen.counter:
                raise BrokenError(Invariant.ONE_EXECUTION, f"{where} let through after #{seen.counter}")
            if (station.name, order, counter) not in self._judge.signed:
                raise BrokenError(Invariant.BELIEVED_ORDERS, where)
            seen.let_through.add(order)
        seen.number, seen.counter, seen.shard_epoch = number, counter, shard_epoch

    def _claims(self, station: Station, seen: _Seen, have: Plain) -> None:
        self._judge.checks += 1
        release = _held(station)
        flash = station.flash
        for start, stop in pairs(have):
            for index in range(start, stop):
                blob = flash.read(STAGE, index)
                if blob is not None and blob is seen.blobs.get(index):
                    continue
                if release is None or not isinstance(blob, bytes) or hashlib.sha256(blob).digest() != release.segments[index]:
                    raise BrokenError(Invariant.CLAIMS_DURABLE, f"{station.name}: segment {index} is claimed and not in flash")
                seen.blobs[index] = blob

    def _staged(self, station: Station, have: Plain) -> None:
        release = _held(station)
        if release is None or pairs(have) != [(0, len(release.segments))]:
            raise BrokenError(Invariant.CLAIMS_DURABLE, f"{station.name}: staged, and has {have!r}")

    def _boot(self, station: Station, seen: _Seen, boot: Plain) -> None:
        self._judge.checks += 1
        match boot:
            case (str(), str(trial), int(), bool()):
                pass
            case _:
                return
        was_on_trial, seen.on_trial = seen.on_trial, bool(trial)
        if was_on_trial or not trial:
            return
        journal, release = station.device.board.journal, _held(station)
        slot, record = journal.get(f"slot/{trial}"), journal.get("up")
        order = str(record["o"]) if isinstance(record, dict) else ""
        if release is None or not release.lawful:
            name = "nothing signed" if release is None else release.name
            raise BrokenError(Invariant.LAWFUL_INSTALL, f"{station.name}: boots {name}")
        image = [station.flash.read(f"slot_{trial}", index) for index in range(len(release.segments))]
        if [hashlib.sha256(blob).digest() if isinstance(blob, bytes) else b"" for blob in image] != list(release.segments):
            raise BrokenError(Invariant.LAWFUL_INSTALL, f"{station.name}: boots an image that is not what was signed")
        if not isinstance(slot, tuple) or order in seen.installed:
            raise BrokenError(Invariant.ONE_INSTALL, f"{station.name}: installs again for {order}")
        seen.installed.add(order)

    # -- at the end

    def stuck(self, station: Station, store: Store) -> str:
        """Why all is not over yet for this terminal; empty when it is."""
        upgrade = store.upgrades[f"u-{station.name}"]
        row = store.terminals[station.name]
        firmware = station.device.firmware
        if upgrade.state not in FINAL:
            return f"its upgrade is {upgrade.state}"
        if firmware is None or station.line.control is None:
            return "it is not connected"
        if len(firmware.outbox):
            return f"{len(firmware.outbox)} reports or results have no receipt"
        if any(order.terminal == station.name and order.status not in ENDED for order in store.orders.values()):
            return "an order has not ended"
        if not row.online or row.epoch != firmware.session.epoch:
            return f"it is in epoch {firmware.session.epoch}, the gateway knows {row.epoch}, online {row.online}"
        return ""

    def over(self, station: Station, store: Store, *, forgets: bool) -> None:
        """All has come to its end. ``forgets``: a backup was restored, or a copy of the store answered for a while."""
        name, device = station.name, station.device
        state = store.upgrades[f"u-{name}"].state
        lied = device.board.faults.lying_version
        runs = _runs(station)
        if state is UpgradeState.SUCCEEDED and runs != "2.0.0":
            raise BrokenError(Invariant.OUTCOME, f"{name}: succeeded, and runs {runs}")
        if state in {UpgradeState.ROLLED_BACK, UpgradeState.REJECTED} and runs != "1.0.0" and not lied:
            raise BrokenError(Invariant.OUTCOME, f"{name}: {state}, and runs {runs}")
        if forgets:
            return
        for upgrade, seq in self._seen[name].reports:
            if (name, upgrade, seq) not in store.reported and not _is_health(self._seen[name].reports[upgrade, seq]):
                raise BrokenError(Invariant.NOTHING_LOST, f"{name}: report {seq} of {upgrade} is in no ledger")


def _is_health(payload: bytes) -> bool:
    """Health reports alone may be dropped, the oldest first."""
    try:
        report = decode("report", payload)
    except WireError:
        return False
    return isinstance(report, Report) and report.what == "health"


def _held(station: Station) -> Release | None:
    """The release whose manifest the journal holds."""
    return BY_MANIFEST.get(station.device.board.journal.blob("manifest"))


def _runs(station: Station) -> str:
    """The version of the component that a terminal really runs, whatever it says."""
    journal = station.device.board.journal
    match journal.get("boot"):
        case (str(active), str(trial), *_):
            match journal.get(f"slot/{trial or active}"):
                case (dict(versions), _):
                    return str(versions.get("app"))
    raise AssertionError(station.name)
