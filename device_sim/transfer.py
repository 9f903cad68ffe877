"""A transfer on the terminal's side: the bulk connection, chunks into durable segments, acks, and the payment brake.

A segment is claimed only after its hash is checked and its bytes are durable; then the claim itself is journalled. Reports
staged when the whole package is there, or failed; ``transfer`` orders call ``begin``, and nothing else opens the bulk
connection.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Final

from device_sim.acks import AckClock
from device_sim.board import Board
from device_sim.brake import REPEAT_S, Brake, Due
from device_sim.dossier import STAGE, Dossier
from device_sim.outputs import CloseBulk, OpenBulk, PauseBulk
from device_sim.receiver import Finished, Receiver, Taken, Verdict
from gateway.trust.manifest import segment_size
from gateway.wire.codes import Code, Phase, What
from gateway.wire.messages import BLOCKS_PER_SEGMENT, Chunk, Welcome

MAX_BAD_SEGMENTS: Final = 5  # of one transfer; more means that the package itself is not what was signed


class Bulk(StrEnum):
    """Where the bulk connection stands."""

    CLOSED = "closed"
    WAITING = "waiting"
    OPENING = "opening"
    UP = "up"


class Transfer:
    """At most one transfer."""

    __slots__ = (
        "_acks",
        "_attempt",
        "_bad_segments",
        "_board",
        "_brake",
        "_dossier",
        "_open_at",
        "_receiver",
        "bulk",
        "policy",
    )

    apart: ClassVar[bool] = True
    """Whether chunks and acks have a connection of their own."""

    def __init__(self, board: Board, dossier: Dossier) -> None:
        self._board = board
        self._dossier = dossier
        self._receiver: Receiver | None = None
        self._acks: AckClock | None = None
        self._attempt = 0
        self._bad_segments = 0
        self._open_at = 0.0
        self._brake = Brake(board.options.quiet_s)
        self.bulk = Bulk.CLOSED
        self.policy = Welcome(epoch=0, now_ms=0)

    def start(self, now: float) -> None:
        """After a boot: go on where the last durable segment ended."""
        if self._dossier.phase is Phase.TRANSFERRING:
            self._open(now)

    def begin(self, transfer: int, size_bytes: int, sha256: bytes, now: float) -> None:
        """Carry out a ``transfer`` order; a new id keeps what is held."""
        dossier = self._dossier
        manifest = dossier.package
        dossier.current.transfer = transfer
        dossier.save()
        if size_bytes != manifest.size_bytes:
            self._fail(Code.LENGTH_MISMATCH, now, needed=manifest.size_bytes, found=size_bytes)
            return
        if sha256 != manifest.sha256:
            self._fail(Code.CHECKSUM_MISMATCH, now)
            return
        free = self._board.storage_free_bytes
        if free < manifest.size_bytes:
            self._fail(Code.STORAGE_FULL, now, needed=manifest.size_bytes, found=free)
            return

        dossier.enter(Phase.TRANSFERRING)
        if dossier.have.count == len(manifest.segments):
            self._complete(now)
        elif self.bulk is Bulk.CLOSED:
            self._open(now)
        elif self._acks is not None:
            self._ack(now)

    def stop(self, *, abort: bool = False) -> None:
        """Close the bulk connection and forget what was not verified."""
        if self.bulk in {Bulk.OPENING, Bulk.UP}:
            self._board.out.append(CloseBulk(abort))
        self.bulk = Bulk.CLOSED
        self._receiver = None
        self._acks = None
        self._brake.drop()

    def lose(self, now: float) -> None:
        """Coverage is gone."""
        if self.bulk in {Bulk.OPENING, Bulk.UP}:
            self._board.out.append(CloseBulk(abort=True))
        if self.bulk is not Bulk.CLOSED:
            self.bulk = Bulk.WAITING
            self._open_at = now
        self._acks = None

    def on_up(self, now: float) -> None:
        """The bulk connection is there: say at once what is held."""
        if self.bulk is not Bulk.OPENING:
            return

        self.bulk = Bulk.UP
        self._attempt = 0
        self._acks = AckClock(self._board.journal.integer("bulk_epoch"), now)
        if self._brake.on:
            self._board.out.append(PauseBulk(paused=True))
            self._brake.renew(now)
        self._ack(now)

    def on_down(self, now: float) -> None:
        """It broke or could not be made; try again."""
        if self.bulk not in {Bulk.OPENING, Bulk.UP}:
            return

        options = self._board.options
        longest = min(options.reconnect_cap_s, options.reconnect_base_s * 2.0 ** min(self._attempt, 20))
        self._attempt += 1
        self.bulk = Bulk.WAITING
        self._open_at = now + self._board.rng.uniform(0.0, longest)
        self._acks = None

    def on_line_up(self, epoch: int, now: float) -> None:
        """The control connection of ``epoch`` is up: no affair of a bulk connection."""

    def on_line_down(self, now: float) -> None:
        """The control connection is gone: no affair of a bulk connection."""

    def on_chunk(self, chunk: Chunk, now: float) -> None:
        """One chunk: check, keep, verify, ack."""
        board, tally = self._board, self._board.tally
        if self.bulk is not Bulk.UP or self._receiver is None or self._acks is None:
            board.count("chunk_unexpected")
            return
        record = self._dossier.current
        if chunk.transfer != record.transfer:
            board.count("chunk_unknown_transfer")
            return

        size = len(chunk.data)
        taken = self._receiver.take(chunk)
        if taken.verdict is Verdict.OUTSIDE or taken.verdict is Verdict.LENGTH:
            board.count(taken.verdict.value)
            return
        tally.chunks += 1
        tally.received_bytes += size
        tally.useful_bytes += taken.new_bytes
        record.received_bytes += size
        record.wasted_bytes += size - taken.new_bytes
        if taken.verdict is Verdict.DUPLICATE and chunk.index // BLOCKS_PER_SEGMENT in self._dossier.have:
            tally.repeated_bytes += size
        self._after(taken, due=self._acks.on_chunk(chunk, now, self.policy), now=now)

    def on_shop(self, now: float) -> None:
        """A payment has begun or ended."""
        if self.bulk is Bulk.CLOSED:
            return
        if not self._board.shop.in_transaction:
            self._brake.ease(now)
            return
        if self._brake.press(now) and self.bulk is Bulk.UP:
            self._board.out.append(PauseBulk(paused=True))
        if self._acks is not None:
            self._ack(now)

    def deadline(self, *, covered: bool) -> float | None:
        """When ``on_time`` has something to do."""
        if self.bulk is Bulk.CLOSED:
            return None
        times = [self._brake.deadline]
        if self.bulk is Bulk.WAITING:
            times.append(self._open_at if covered and not self._brake.on else None)
        elif self._acks is not None:
            times.append(self._acks.deadline)
        return min((at for at in times if at is not None), default=None)

    def on_time(self, now: float, *, covered: bool) -> None:
        """Renew or end a brake, reconnect, ack."""
        due = self._brake.on_time(now)
        if due is not Due.NOTHING and self._acks is not None:
            if due is Due.RELEASE:
                self._board.out.append(PauseBulk(paused=False))
            self._ack(now)
            if due is Due.RELEASE:
                self._acks.hasten(now + REPEAT_S)
        if self.bulk is Bulk.WAITING and covered and now >= self._open_at and not self._brake.on:
            self._connect()
        if self._acks is not None and now >= self._acks.deadline:
            self._ack(now)

    def _open(self, now: float) -> None:
        dossier, options = self._dossier, self._board.options
        self._receiver = Receiver(dossier.package, dossier.have, self._board.pool, keep=options.keep_payload)
        faults = self._board.faults
        while self._receiver.damage_next < faults.bad_segments and self._board.fault.strikes("segment", faults.bad_segments):
            self._receiver.damage_next += 1
        self._bad_segments = 0
        self._attempt = 0
        self.bulk = Bulk.WAITING
        self._open_at = now
        if self._board.shop.in_transaction:
            self._brake.press(now)

    def _connect(self) -> None:
        self._board.journal.set("bulk_epoch", self._board.journal.integer("bulk_epoch") + 1)
        self.bulk = Bulk.OPENING
        self._board.out.append(OpenBulk())

    def _after(self, taken: Taken, *, due: bool, now: float) -> None:
        if not taken.finished:
            if due or taken.verdict is Verdict.DUPLICATE:
                self._ack(now)
            return
        for finished in taken.finished:
            self._keep(finished)
        if self._bad_segments > MAX_BAD_SEGMENTS:
            self._fail(Code.CHECKSUM_MISMATCH, now, needed=0, found=self._bad_segments)
        elif self._dossier.have.count == len(self._dossier.package.segments):
            self._complete(now)
        else:
            self._ack(now)

    def _keep(self, finished: Finished) -> None:
        if finished.blob is None:
            self._bad_segments += 1
            self._board.count("segment_bad")
            self._dossier.current.wasted_bytes += segment_size(self._dossier.package, finished.segment)
            return

        self._board.flash.put(STAGE, finished.segment, finished.blob)
        self._board.flash.sync()
        self._dossier.claim(finished.segment)

    def _complete(self, now: float) -> None:
        dossier = self._dossier
        manifest = dossier.package
        blobs = [self._board.flash.read(STAGE, index) for index in range(len(manifest.segments))]
        kept = [blob for blob in blobs if blob is not None]
        whole = self._board.pool.whole_sha256(manifest.segments, kept)
        if len(kept) < len(blobs) or (whole is not None and whole != manifest.sha256):
            dossier.forget_data()
            self._fail(Code.CHECKSUM_MISMATCH, now)
            return

        if self._acks is not None:
            self._ack(now)
        self.stop()
        record = dossier.current
        dossier.enter(Phase.STAGED)
        detail = {"received_bytes": record.received_bytes, "wasted_bytes": record.wasted_bytes, "segments": len(kept)}
        dossier.report(What.STAGED, now, detail=detail)

    def _fail(self, code: Code, now: float, *, needed: int = 0, found: int = 0) -> None:
        self.stop()
        self._dossier.enter(Phase.READY)
        self._dossier.report(What.FAILED, now, code=code, detail={"needed": needed, "found": found})

    def _ack(self, now: float) -> None:
        if self._acks is None or self._receiver is None:
            raise AssertionError(self.bulk)
        braking = self._brake.on
        ack = self._acks.make(
            self._dossier.current.transfer,
            self._receiver.held,
            now,
            credit_bytes=0 if braking else self._board.options.credit_bytes,
            foreground=braking,
            pause_seq=self._brake.seq,
        )
        self._board.tally.acks += 1
        self._board.publish(ack, bulk=self.apart, qos=0)
