"""A model of the store: rows as last committed, the ledger, the epoch, and the ways in which a disk lets one down.

A commit is all or nothing. One gateway owns the store; a commit of another one fails, as it does without the lock on the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gateway.core.effects import Append, Save, SaveOrder, SaveTerminal, SaveTransfer, SaveUpgrade
from gateway.errors import StoreError
from gateway.wire.codes import OrderKind
from gateway.wire.messages import PlainMap

ENDED = frozenset({"done", "refused", "failed", "expired"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """An order outside any upgrade."""

    id: str
    terminal: str
    kind: OrderKind
    args: PlainMap
    expires_at: float
    status: str = "pending"


@dataclass(slots=True)
class Store:
    """See the module. ``before_commit`` is told what is about to be kept."""

    before_commit: Callable[[Store, Sequence[Save]], None]
    upgrades: dict[str, SaveUpgrade] = field(default_factory=dict)
    terminals: dict[str, SaveTerminal] = field(default_factory=dict)
    orders: dict[str, OrderRow] = field(default_factory=dict)
    ledger: list[Append] = field(default_factory=list)
    reported: dict[tuple[str, str, int], str] = field(default_factory=dict)
    """What each stored report said, by terminal, upgrade and number."""
    answered: set[tuple[str, str]] = field(default_factory=set)
    """Terminal and order of each stored result."""
    ended: dict[str, str] = field(default_factory=dict)
    """By upgrade: the state that its last move in the ledger led to."""
    aborted: set[str] = field(default_factory=set)
    """Campaigns that a person has aborted."""
    epoch: int = 0
    restored_step: int = 0
    restored_us: int = 0
    owner: int = 0
    # what is wrong with the disk now
    full: bool = False
    unreadable: bool = False
    doubtful: bool = False
    """The next commits are done, but say that they failed."""
    commit_s: float = 0.002

    def raise_epoch(self, least: int) -> int:
        """As ``meta.raise_counter``."""
        self.epoch = max(self.epoch + 1, least)
        return self.epoch

    def put_back(self, replaced: Store, now_us: int) -> None:
        """As ``store.backup.put_back``: mark it as restored in the place of ``replaced``."""
        self.epoch = self.restored_step = max(self.epoch, replaced.epoch, now_us // 1_000_000) + 1
        self.restored_us = now_us
        for name, row in self.terminals.items():
            self.terminals[name] = replace(row, online=True)

    def read(self) -> None:
        """Raise ``StoreError`` when nothing can be read."""
        if self.unreadable:
            raise StoreError("the store cannot be read now")

    def commit(self, owner: int, saves: Sequence[Save]) -> None:
        """Keep all of ``saves``, or raise ``StoreError``."""
        if owner != self.owner:
            raise StoreError("another gateway has the store")
        if self.full:
            raise StoreError("the disk is full")
        self.before_commit(self, saves)
        for save in saves:
            self._keep(save)
        if self.doubtful:
            raise StoreError("the connection to the database broke during the commit")

    def copy(self) -> Store:
        """A backup."""
        return replace(
            self,
            upgrades=dict(self.upgrades),
            terminals=dict(self.terminals),
            orders=dict(self.orders),
            ledger=list(self.ledger),
            reported=dict(self.reported),
            answered=set(self.answered),
            ended=dict(self.ended),
            aborted=set(self.aborted),
            full=False,
            unreadable=False,
            doubtful=False,
        )

    def _keep(self, save: Save) -> None:
        match save:
            case SaveUpgrade():
                self.upgrades[save.upgrade] = save
            case SaveTerminal():
                known = self.terminals[save.terminal]
                self.terminals[save.terminal] = save if save.facts is not None else replace(save, facts=known.facts)
            case Append():
                self._append(save)
            case SaveOrder():
                self.orders[save.order] = replace(self.orders[save.order], status=save.status)
            case SaveTransfer():
                pass
            case _:
                raise AssertionError(save)

    def _append(self, entry: Append) -> None:
        self.ledger.append(entry)
        if entry.from_state:
            self.ended[entry.upgrade] = entry.to_state
        seq, order = entry.evidence.get("seq"), entry.evidence.get("order")
        if isinstance(seq, int):
            self.reported[entry.terminal, entry.upgrade, seq] = entry.what
        if isinstance(order, str):
            self.answered.add((entry.terminal, order))
