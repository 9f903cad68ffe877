"""Which terminals are meant: a filter as a person or backend states it, and its SQL conditions; used by lists and campaigns.

Also the size in which long lists of ids go into statements. Nothing here runs a statement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from gateway.errors import RequestError
from gateway.store.schema import terminal_labels, terminals
from gateway.wire.codes import Component

IDS_PER_STATEMENT: Final = 5000  # SQLite takes 32,766 variables in one statement

_VERSIONS: Final = {
    Component.OS: terminals.c.os_version,
    Component.KERNEL: terminals.c.kernel_version,
    Component.APP: terminals.c.app_version,
    Component.PARAMS: terminals.c.params_version,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalFilter:
    """All conditions must hold; an empty one is no condition."""

    model: str = ""
    online: bool | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    components: Mapping[str, str] = field(default_factory=dict)
    """Version by component, as the terminal reported it."""
    prefix: str = ""
    """How the id begins."""
    text: str = ""
    """Somewhere in the id, the model or the value of a label, whatever the case."""


def conditions(wanted: TerminalFilter, *, after: str = "") -> list[sa.ColumnElement[bool]]:
    """The conditions on ``terminals`` with ids beyond ``after``; ``RequestError`` when a component does not exist."""
    found: list[sa.ColumnElement[bool]] = []
    # Ranges, so that the index serves them. Ids are ASCII: nothing in them sorts after DEL.
    if wanted.prefix:
        found.append(terminals.c.id < wanted.prefix + "\x7f")
    if wanted.prefix > after:
        found.append(terminals.c.id >= wanted.prefix)
    elif after:
        found.append(terminals.c.id > after)
    if wanted.model:
        found.append(terminals.c.model == wanted.model)
    if wanted.online is not None:
        found.append(terminals.c.online == int(wanted.online))
    found += [_labelled(key, value) for key, value in sorted(wanted.labels.items())]
    found += [_version_column(name) == version for name, version in sorted(wanted.components.items())]
    if wanted.text:
        found.append(_mentions(wanted.text))
    return found


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """``ids`` in pieces that one statement can take."""
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        yield ids[start : start + IDS_PER_STATEMENT]


def _labelled(key: str, value: str) -> sa.ColumnElement[bool]:
    return terminals.c.id.in_(
        sa.select(terminal_labels.c.terminal).where(terminal_labels.c.key == key, terminal_labels.c.value == value)
    )


def _version_column(name: str) -> sa.Column[str]:
    try:
        return _VERSIONS[Component(name)]
    except ValueError as exc:
        known = ", ".join(Component)
        raise RequestError(f"there is no component {name!r}: choose one of {known}", component=name) from exc


def _mentions(text: str) -> sa.ColumnElement[bool]:
    in_label = sa.exists().where(
        terminal_labels.c.terminal == terminals.c.id, terminal_labels.c.value.icontains(text, autoescape=True)
    )
    return sa.or_(terminals.c.id.icontains(text, autoescape=True), terminals.c.model.icontains(text, autoescape=True), in_label)
