"""The firmware: all parts of one boot put together, and the table that says which order may do what in which phase.

Everything in here is lost with power and built anew from the journal at the next boot. ``Terminal`` is the only caller; it
commits the journal after each call and only then lets outputs leave.
"""

from __future__ import annotations

from device_sim.board import Board
from device_sim.commands import Commands
from device_sim.consent import Consent
from device_sim.dossier import EARLY, Dossier
from device_sim.installation import Installation, floors
from device_sim.order_args import EndArgs, HoldArgs, InstallArgs, OfferArgs, TransferArgs, UpgradeArgs, read_args
from device_sim.orders import OrderBook
from device_sim.outbox import Outbox
from device_sim.preparation import Preparation
from device_sim.proving import Proving
from device_sim.session import Session, covered, next_coverage_change
from device_sim.single import SingleTransfer
from device_sim.slots import Slots
from device_sim.transfer import Transfer
from gateway.errors import TrustError, WireError
from gateway.trust.manifest import Manifest, check, open_manifest
from gateway.wire.codec import decode
from gateway.wire.codes import Code, OrderKind, Phase, ResultStatus, What
from gateway.wire.messages import Chunk, Facts, Hello, Order, Receipt, Signed, Welcome

_LATE = frozenset({Phase.INSTALLING, Phase.VERIFYING, Phase.SOAKING, Phase.ROLLING_BACK})


class Firmware:
    """One boot of one terminal."""

    def __init__(self, board: Board, slots: Slots) -> None:
        """Read the journal; ``start`` comes next."""
        self.board = board
        self.slots = slots
        offset = board.journal.get("offset")
        board.clock.offset_ms = offset if isinstance(offset, int) else 0
        board.shop.locked = board.journal.get("locked") is True
        self.outbox = Outbox(board)
        self.book = OrderBook(board, self.outbox)
        self.dossier = Dossier(board, self.outbox, self.book)
        self.session = Session(board, self._hello)
        self.consent = Consent(board, self.dossier)
        self.preparation = Preparation(board, self.dossier)
        self.transfer = (SingleTransfer if board.options.connections == 1 else Transfer)(board, self.dossier)
        self.installation = Installation(board, self.dossier, slots)
        self.proving = Proving(board, self.dossier, slots, self.installation)
        self.commands = Commands(board, self.book, self.proving)
        self._covered = True

    def start(self, now: float, boot_s: float) -> None:
        """The operating system is up; ``boot_s`` is how long that took."""
        self.installation.start(now)
        self.proving.start(now)
        self.consent.start(now)
        self.preparation.start(now)
        self.transfer.start(now)
        self.commands.start(now, boot_s)
        if not self.proving.testing:
            self.board.shop.serve(now)
        self.session.start(now)
        self.on_time(now)

    # -- what the world does

    def on_control_up(self, now: float) -> None:
        """Connected and subscribed."""
        if self.session.on_up(now):
            self.outbox.on_up(now)
            self.transfer.on_line_up(self.session.epoch, now)

    def on_control_down(self, now: float, *, clean: bool) -> None:
        """The control connection is gone, or could not be made."""
        self.outbox.on_down()
        self.transfer.on_line_down(now)
        self.session.on_down(now, clean=clean)

    def on_message(self, kind: str, payload: bytes, now: float, *, bulk: bool) -> None:
        """One message from the air; whatever it is, nothing but a counter moves unless it is right."""
        try:
            message = decode(kind, payload)
        except WireError as exc:
            self.board.count(exc.code)
            return

        if bulk is not (self.transfer.apart and isinstance(message, Chunk)):
            self.board.count("wrong_connection")
            return
        match message:
            case Chunk():
                self.transfer.on_chunk(message, now)
            case Signed():
                order = self.book.open(message, now)
                if order is not None:
                    self._carry_out(order, now)
            case Receipt():
                self.outbox.on_receipt(message)
            case Welcome():
                if self.session.on_welcome(message, now):
                    self.transfer.policy = message
                    if message.hello:  # the gateway has begun anew: what went to the old one may never have been stored
                        self.outbox.on_up(now)
                elif self.session.link == "down":
                    self.outbox.on_down()
                    self.transfer.on_line_down(now)
            case _:
                self.board.count("wrong_direction")

    def on_time(self, now: float) -> None:
        """Let every part do what is due."""
        board = self.board
        is_covered = covered(board.faults.duty, now)
        if self._covered and not is_covered:
            self.outbox.on_down()
            self.session.lose(now)
            self.transfer.lose(now)
        self._covered = is_covered

        if board.battery.update(now):
            self.session.greet(now)
        if board.shop.on_time(now):
            self.transfer.on_shop(now)
        self.consent.on_time(now)
        self.preparation.on_time(now)
        if self.preparation.hello_wanted:
            self.preparation.hello_wanted = False
            self.session.greet(now)
        self.installation.on_time(now)
        self.proving.on_time(now)
        self.commands.on_time()
        self.transfer.on_time(now, covered=is_covered)
        self.session.on_time(now, covered=is_covered)
        self.outbox.on_time(now)
        if self.session.link == "up":
            board.spill_garbage(now)

    def deadline(self, now: float) -> float | None:
        """When ``on_time`` is wanted next."""
        board = self.board
        times = (
            board.shop.deadline,
            board.garbage_at if self.session.link == "up" else None,
            self.consent.deadline,
            self.preparation.deadline,
            self.transfer.deadline(covered=self._covered),
            self.installation.deadline,
            self.proving.deadline,
            self.outbox.deadline,
            self.session.deadline(covered=self._covered),
            next_coverage_change(board.faults.duty, now),
        )
        return min((at for at in times if at is not None), default=None)

    def shut_down(self) -> None:
        """Before an orderly reboot."""
        self.transfer.stop()
        self.session.say_goodbye()

    # -- orders

    def _carry_out(self, order: Order, now: float) -> None:
        try:
            args = read_args(order)
        except ValueError:
            self.board.count("args_invalid")
            self._refuse(order.id, Code.KIND_UNSUPPORTED, now)
            return

        if args is None:
            self.commands.carry_out(order, now, busy=self.dossier.phase in _LATE - {Phase.SOAKING})
        elif isinstance(args, OfferArgs):
            self._offer(args, order.id, now)
        elif self.dossier.record is None or self.dossier.record.id != args.upgrade:
            self._refuse(order.id, Code.UPGRADE_UNKNOWN, now)
        elif self._allowed(order.kind, self.dossier.current.phase):
            self.dossier.current.order = order.id
            self._step(order.kind, args, now)
        else:
            self._refuse(order.id, Code.BUSY, now)

    def _allowed(self, kind: OrderKind, phase: Phase) -> bool:
        """Whether an order makes sense in a phase. What has happened already always does: it is reported again."""
        match kind:
            case OrderKind.UPGRADE_PREPARE:
                return phase not in {Phase.OFFERED, Phase.POSTPONED}
            case OrderKind.UPGRADE_TRANSFER:
                return phase not in {Phase.OFFERED, Phase.POSTPONED, Phase.ACCEPTED, Phase.PREPARING}
            case OrderKind.UPGRADE_HOLD:
                return phase not in {Phase.OFFERED, Phase.POSTPONED}
            case OrderKind.UPGRADE_INSTALL:
                return phase is Phase.STAGED or phase not in EARLY
            case OrderKind.UPGRADE_COMMIT:
                return phase in {Phase.SOAKING, Phase.DONE}
            case OrderKind.UPGRADE_ROLLBACK:
                return phase in {Phase.VERIFYING, Phase.SOAKING, Phase.ROLLING_BACK, Phase.DONE}
            case _:
                return phase in EARLY or phase is Phase.DONE

    def _step(self, kind: OrderKind, args: UpgradeArgs, now: float) -> None:
        """An allowed order: carry it out, or report again when the upgrade is further already."""
        phase = self.dossier.current.phase
        match kind, args:
            case OrderKind.UPGRADE_PREPARE, _ if phase in EARLY:
                if phase is not Phase.PREPARING:
                    self.transfer.stop()
                    self.preparation.begin(now)
            case OrderKind.UPGRADE_TRANSFER, TransferArgs() if phase in EARLY:
                self.preparation.stop()
                self.transfer.begin(args.transfer, args.size_bytes, args.sha256, now)
            case OrderKind.UPGRADE_HOLD, HoldArgs() if phase in EARLY and phase is not Phase.STAGED:
                self._hold(args, now)
            case OrderKind.UPGRADE_INSTALL, InstallArgs() if phase is Phase.STAGED:
                self.installation.order(args, now)
            case OrderKind.UPGRADE_COMMIT, _ if phase is Phase.SOAKING:
                self.proving.commit(now)
            case OrderKind.UPGRADE_ROLLBACK, EndArgs() if phase in {Phase.VERIFYING, Phase.SOAKING}:
                self.proving.stop()
                self.installation.roll_back(Code.ROLLED_BACK_BY_ORDER, {"asked_for": args.code.value})
            case OrderKind.UPGRADE_CANCEL, EndArgs() if phase in EARLY:
                self._cancel(args.code, now)
            case _ if phase not in {Phase.INSTALLING, Phase.ROLLING_BACK}:
                self.dossier.report_again(now)
            case _:  # under way: its own report answers
                self.dossier.save()

    def _offer(self, args: OfferArgs, order_id: str, now: float) -> None:
        dossier = self.dossier
        record = dossier.record
        known = record is not None and record.id == args.upgrade
        if known and dossier.current.phase is not Phase.POSTPONED:
            dossier.current.order = order_id
            self._offer_again(now)
            return
        if not known and record is not None and record.phase in _LATE:
            dossier.report_other(args.upgrade, order_id, Code.BUSY, now)
            return

        manifest, code = self._judge(args.manifest)
        if manifest is None or code is not Code.OK:
            dossier.report_other(args.upgrade, order_id, code, now)
            return
        if not known and record is not None and record.phase in EARLY:
            self._cancel(Code.CANCELLED_BY_OPERATOR, now)
        dossier.begin(args.upgrade, manifest, args.manifest, order_id)
        if args.ask:
            self.consent.ask(now)
        else:
            dossier.enter(Phase.ACCEPTED)
            dossier.report(What.ACCEPTED, now)

    def _offer_again(self, now: float) -> None:
        """The merchant is never asked twice: what was accepted stays so, and its segments are kept."""
        dossier = self.dossier
        phase = dossier.current.phase
        if phase is Phase.OFFERED:
            dossier.save()
        elif phase in EARLY:
            self.preparation.stop()
            self.transfer.stop()
            dossier.enter(Phase.ACCEPTED)
            dossier.report(What.ACCEPTED, now)
        else:
            dossier.report_again(now)

    def _judge(self, blob: bytes) -> tuple[Manifest | None, Code]:
        """What this terminal itself thinks of a package."""
        try:
            manifest = open_manifest(blob, self.board.identity.publishers)
        except TrustError as exc:
            return None, Code(exc.code)
        versions = self.slots.versions(self.slots.running)
        return manifest, check(manifest, model=self.board.profile.model, components=versions, floors=floors(self.board))

    def _cancel(self, code: Code, now: float) -> None:
        self.consent.stop()
        self.preparation.stop()
        self.transfer.stop()
        self.dossier.forget_data()
        self.dossier.enter(Phase.DONE)
        self.dossier.report(What.CANCELLED, now, code=code)

    def _hold(self, args: HoldArgs, now: float) -> None:
        """No more chunks today: the bulk connection costs bytes even while it is idle."""
        self.transfer.stop()
        if self.dossier.phase is Phase.TRANSFERRING:
            self.dossier.enter(Phase.READY)
        self.dossier.report(What.HELD, now, code=args.code, detail={"until_ms": args.until_ms})

    def _refuse(self, order_id: str, code: Code, now: float) -> None:
        self.board.count(f"refused_{code.value}")
        self.book.result(order_id, ResultStatus.REFUSED, now, code=code)

    # -- facts

    def _hello(self, epoch: int, now: float) -> Hello:
        board = self.board
        link = board.profile.link
        facts = Facts(
            model=board.profile.model,
            components=self.slots.versions(self.slots.running),
            floors=floors(board),
            slot=self.slots.running,
            battery_pct=board.battery.percent,
            charging=board.battery.charging,
            storage_free_bytes=board.storage_free_bytes,
            rat=link.rat,
            rssi_dbm=board.rng.randint(*link.rssi_dbm),
            operator=link.operator,
            time_zone=board.options.shop.time_zone,
            clock_ms=board.clock.raw_ms(now),
            in_transaction=board.shop.in_transaction,
            unsettled_count=board.shop.unsettled_count,
            single_connection=not self.transfer.apart,
        )
        return Hello(epoch=epoch, counter=self.book.gate.counter, facts=facts, upgrade=self.dossier.as_open())
