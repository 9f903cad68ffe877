"""The plans of campaigns, with what is believed of their packages. A plan is fixed, so it is read once and shared."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from gateway.core.plan import Plan
from gateway.errors import StoreError, TrustError, WireError
from gateway.store import campaigns, packages
from gateway.store.database import Database
from gateway.store.terms import plan_of
from gateway.trust.keys import KeyRing
from gateway.trust.manifest import Manifest, decode, open_manifest
from gateway.wire.codec import decode_signed

PLANS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class _Terms:
    plan: Plan
    manifest: Manifest
    doubt: TrustError | None
    """Why the package is not believed any more, although it was when it came in."""


class Plans:
    """Plans by campaign id, the most recently used ones kept."""

    def __init__(self, db: Database, ring: KeyRing) -> None:
        self._db = db
        self._ring = ring
        self._kept: OrderedDict[str, _Terms] = OrderedDict()

    async def of(self, campaign: str) -> Plan:
        """The plan of a campaign; ``StoreError`` when its rows are gone.

        It holds for upgrades under way even when the package's publisher is believed no more: they must come to an end.
        """
        return (await self._terms(campaign)).plan

    async def manifest_of(self, campaign: str) -> Manifest:
        """What the campaign's package demands of a terminal; ``TrustError`` when it is not believed: nothing may start then."""
        terms = await self._terms(campaign)
        if terms.doubt is not None:
            raise TrustError(terms.doubt.message, code=terms.doubt.code)
        return terms.manifest

    async def _terms(self, campaign: str) -> _Terms:
        found = self._kept.get(campaign)
        if found is None:
            row = await campaigns.get(self._db, campaign)
            package = await packages.get(self._db, row.package) if row is not None else None
            if row is None or package is None:
                raise StoreError(f"campaign {campaign} or its package is not in the store", campaign=campaign)
            try:
                manifest, doubt = self._read(package.manifest)
                plan = plan_of(row, package, manifest)
            except (KeyError, TypeError, ValueError, WireError, TrustError) as exc:
                raise StoreError(f"campaign {campaign} or its package is damaged: {exc!r}", code="campaign_damaged") from exc
            found = self._kept[campaign] = _Terms(plan, manifest, doubt)
            if len(self._kept) > PLANS_MAX:
                self._kept.popitem(last=False)
        self._kept.move_to_end(campaign)
        return found

    def _read(self, blob: bytes) -> tuple[Manifest, TrustError | None]:
        try:
            return open_manifest(blob, self._ring), None
        except TrustError as exc:
            return decode(decode_signed(blob).body), exc.with_traceback(None)
