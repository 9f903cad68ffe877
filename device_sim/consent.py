"""Consent: the question to the merchant, from the offer to the answer (docs/protocol.md, "upgrade.offer").

A question that a power cut wiped off the screen is asked again. Reports accepted, postponed or declined; nothing else.
"""

from __future__ import annotations

from device_sim.board import Board
from device_sim.dossier import Dossier
from gateway.wire.codes import Code, Phase, What


class Consent:
    """The question on the screen, if there is one."""

    __slots__ = ("_answer_at", "_board", "_dossier")

    def __init__(self, board: Board, dossier: Dossier) -> None:
        self._board = board
        self._dossier = dossier
        self._answer_at: float | None = None

    def start(self, now: float) -> None:
        """After a boot: ask again what was not answered."""
        if self._dossier.phase is Phase.OFFERED:
            self.ask(now)

    def ask(self, now: float) -> None:
        """Show the question."""
        self._dossier.enter(Phase.OFFERED)
        after_s = self._board.merchant.ask(self._board.shop.opens_in_s(now))
        self._answer_at = None if after_s is None else now + after_s

    def stop(self) -> None:
        """The question is withdrawn."""
        self._answer_at = None

    @property
    def deadline(self) -> float | None:
        """When the merchant answers."""
        return self._answer_at

    def on_time(self, now: float) -> None:
        """Take the answer when it is there."""
        if self._answer_at is None or now < self._answer_at:
            return

        self._answer_at = None
        answer = self._board.merchant.answer()
        dossier = self._dossier
        if answer.word == "postpone":
            until_ms = self._board.clock.time_ms(now) + int(answer.postpone_s * 1000)
            dossier.enter(Phase.POSTPONED)
            dossier.report(What.POSTPONED, now, code=Code.POSTPONED_BY_MERCHANT, detail={"until_ms": until_ms})
        elif answer.word == "decline":
            dossier.forget_data()
            dossier.enter(Phase.DONE)
            dossier.report(What.DECLINED, now, code=Code.DECLINED_BY_MERCHANT)
        else:
            dossier.enter(Phase.ACCEPTED)
            dossier.report(What.ACCEPTED, now)
