"""The gateway's chunks, as ``engine.pump`` moves them: pulled whenever an ack, the link or the time makes room."""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.core.terminal import Terminal
from gateway.wire.codec import encode_chunk

if TYPE_CHECKING:
    from tests.simulation.gateway import Gateway

_NEVER: Final = float("inf")


class Pump:
    """See the module."""

    def __init__(self, gateway: Gateway) -> None:
        self.readable = True
        """Whether package files can be read."""
        self._gateway = gateway
        self._lanes: dict[str, Terminal] = {}
        self._due: dict[str, float] = {}

    def turn(self, session: Terminal, *, is_open: bool) -> None:
        """A transfer has opened or closed, after its commit."""
        self.close(session.id)
        if is_open:
            self._lanes[session.id] = session
            self.wake(session.id)

    def close(self, name: str) -> None:
        """Its session is gone."""
        self._lanes.pop(name, None)

    def wake_all(self) -> None:
        """The link is there."""
        for name in tuple(self._lanes):
            self.wake(name)

    def wake(self, name: str) -> None:
        """An ack may have made room."""
        gateway, session = self._gateway, self._lanes.get(name)
        transfer = session.transfer if session is not None else None
        if session is None or transfer is None or not gateway.bulk_up:
            return
        now, payload = gateway.now, gateway.release(f"u-{name}").payload
        while True:
            probes = transfer.meter.probes
            piece = transfer.next_chunk(now)
            if piece is None:
                break
            gateway.judge.chunk(gateway, name, transfer, piece, probe=transfer.meter.probes > probes)
            if not self.readable:
                continue
            data = payload[piece.offset_bytes : piece.offset_bytes + piece.length_bytes]
            chunk = encode_chunk(
                transfer=transfer.id, number=piece.number, index=piece.block, stamp_ms=int(now * 1000), data=data
            )
            gateway.clock.note(gateway.name, "chunk", f"{name} {piece.number} {piece.block} {zlib.crc32(data):08x}")
            gateway.broker.down(name, "chunk", chunk, bulk=not session.single)
        if transfer.wake_at < _NEVER:
            self._wait(name, transfer.wake_at)

    def _wait(self, name: str, at: float) -> None:
        """Probes and lapsed brakes are due by time alone; as coarse as the pump's own look."""
        at = max(at, self._gateway.now + 0.01)
        if at != self._due.get(name):
            self._due[name] = at
            self._gateway.at(at - self._gateway.ahead_s, partial(self._woken, name, at))

    def _woken(self, name: str, at: float) -> None:
        if self._due.get(name) == at:
            del self._due[name]
            self.wake(name)
