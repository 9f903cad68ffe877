"""What goes on while all breaks: campaign after campaign over the whole fleet, and other orders beside them.

``step`` asks for the next thing that is missing, by HTTP, and learns from the store whether it was heard: an answer that never
came may still have been obeyed. Nothing here believes that a request did what it should.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import httpx

from gateway.core.states import FINAL
from scripts._chaos.house import House
from tests.e2e.parcels import parcel
from tests.harness.stage import QUICK

SIZE_BYTES: Final = 400_000
#: The next campaign begins when this share of all upgrades is final, or when the last one began so long ago (seconds).
_DONE_SHARE: Final = 0.6
_NEXT_S: Final = 25.0
_OPEN_MAX: Final = 4
_EVERY_S: Final = 0.25
#: Other orders, of which some go out with each campaign.
_ORDERS: Final = ({"kind": "inspect"}, {"kind": "reboot"})
_ORDERED: Final = 3

_FINAL = tuple(state.value for state in FINAL)
_OPEN_SQL: Final = f"SELECT count(*) FROM upgrades WHERE state NOT IN ({', '.join('?' * len(_FINAL))})"  # noqa: S608 - our words


class Work:
    """See the module."""

    def __init__(self, house: House, *, in_turn: bool = False) -> None:
        """``in_turn``: a campaign waits for the one before it, however long that takes."""
        self._house = house
        self._next_s = float("inf") if in_turn else _NEXT_S
        self._number = 0
        self._began_at = 0.0
        self._looked_at = 0.0
        self._ordered = 0
        self.refused: list[str] = []
        """Answers that are neither success nor "not now"."""
        self.unanswered = 0
        """Requests without an answer, or refused because of a fault."""
        self.done = 0
        """Upgrades that are final."""
        self.open = 0
        self.moving = False
        """Whether any upgrade has begun."""

    def step(self, now: float, *, closing: bool = False) -> None:
        """Look at the store, and ask for what is missing; seldom more than a request."""
        if now - self._looked_at < _EVERY_S:
            return
        self._looked_at = now
        try:
            self._count()
            if self._house.answering:
                self._ask(now, closing=closing)
        except (sqlite3.Error, httpx.TransportError):
            self.unanswered += 1

    def _count(self) -> None:
        query = self._house.query
        self.open = query(_OPEN_SQL, *_FINAL)[0][0]
        self.done = query("SELECT count(*) FROM upgrades")[0][0] - self.open
        self.moving = self.moving or bool(query("SELECT 1 FROM upgrades WHERE state <> 'scheduled' LIMIT 1"))

    def _ask(self, now: float, *, closing: bool) -> None:
        campaigns = dict(self._house.query("SELECT name, state FROM campaigns"))
        drafts = [name for name, state in campaigns.items() if state == "draft"]
        running = [name for name, state in campaigns.items() if state in {"running", "paused"}]
        current = self._name(self._number)
        if drafts:
            self._start(drafts[0])
        elif self._number and current not in campaigns and not closing:
            self._draw_up()
        elif self._ordered < self._number and not closing:
            self._order()
        elif not closing and len(running) < _OPEN_MAX and self._time_for_more(now):
            self._number += 1
            self._began_at = now

    def _time_for_more(self, now: float) -> bool:
        fleet = len(self._house.names)
        return self.open <= fleet * (1 - _DONE_SHARE) or now - self._began_at > self._next_s

    def _draw_up(self) -> None:
        """A package, or the campaign that ships it."""
        house, version = self._house, f"2.{self._number}.0"
        packages = house.query("SELECT id FROM packages WHERE version = ?", version)
        if not packages:
            found = parcel(house.stage, size=SIZE_BYTES, version=version)
            headers = {"Content-Type": "application/octet-stream"}
            self._take(house.http.post("/api/v1/packages", content=found.read_bytes(), headers=headers))
            return
        # A few at a time, so that all steps of an upgrade are being taken at any moment.
        terms = {
            **QUICK,
            "max_active": max(2, len(house.names) // 3),
            "failure_min": 1000,
            "attempts_max": 20,
            "boot_budget_s": 60,
        }
        body = {"name": self._name(self._number), "package": packages[0][0], "terminals": house.names, "terms": terms}
        self._take(house.http.post("/api/v1/campaigns", json=body))

    def _start(self, name: str) -> None:
        [(campaign,)] = self._house.query("SELECT id FROM campaigns WHERE name = ?", name)
        self._take(self._house.http.post(f"/api/v1/campaigns/{campaign}/start"))

    def _order(self) -> None:
        """Some terminals are asked something, once per campaign; a request that is lost is not made again."""
        house = self._house
        self._ordered = self._number
        for place in range(_ORDERED):
            name = house.names[(self._number * _ORDERED + place) % len(house.names)]
            self._take(house.http.post(f"/api/v1/terminals/{name}/orders", json=_ORDERS[(self._number + place) % len(_ORDERS)]))

    def _take(self, answer: httpx.Response) -> None:
        if answer.is_success or answer.status_code == httpx.codes.CONFLICT:
            return
        if answer.is_server_error:
            self.unanswered += 1
            return
        told: Any = answer.text[:200]
        self.refused.append(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {told}")

    @staticmethod
    def _name(number: int) -> str:
        return f"chaos {number}"
