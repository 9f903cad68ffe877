"""Keys, checks and tables: what one message may hold, and how a map becomes a dataclass and back.

``codec`` and ``trust.manifest`` build their tables from these. A check takes any value and returns it as the dataclass wants
it, or raises ``ValueError`` saying what was expected. Reading and writing run the same checks, so that nothing which a receiver
would refuse can be written either. Nothing here knows a message, and nothing here raises anything but ``ValueError``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from gateway.wire.topics import is_terminal_id

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_TEXT_CHARS: Final = 4096
MAX_KEY_CHARS: Final = 64
MAX_DEPTH: Final = 6
MAX_NODES: Final = 512  # values in one free-form map
MAX_INTEGER: Final = 2**53 - 1  # the largest that JSON carries safely; free-form integers obey it too
U32: Final = 2**32 - 1

Check = Callable[[Any], Any]
"""Anything in, the checked value out; what goes in is untyped by nature and what comes out is typed by the dataclass."""

T = TypeVar("T", bound="DataclassInstance")


class Field(NamedTuple):
    """One key of a message."""

    key: str
    """Its name on the air."""
    attribute: str
    check: Check
    """From the air to the attribute."""
    write: Check | None = None
    """From the attribute to the air, where that is not ``check`` too."""
    brief: bool = False
    """Left out while it says what the default says: a key that came later must not change what others write."""


class Table(Generic[T]):
    """The keys of one dataclass: reads maps into it and writes it as a map."""

    def __init__(self, cls: type[T], *keys: Field, agree: Callable[[T], str | None] | None = None) -> None:
        """``agree`` says what is wrong between the fields of a whole message, or ``None``."""
        self.keys: Final = keys
        self.required: Final = frozenset(f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING)
        self._defaults: Final = {f.name: f.default for f in fields(cls)}
        self._cls: Callable[..., T] = cls
        self._agree = agree
        if {key.attribute for key in keys} != {f.name for f in fields(cls)}:
            raise AssertionError(cls)

    def read(self, value: object) -> T:
        """The dataclass that a map describes; unknown keys are ignored. Raises ``ValueError``."""
        if type(value) is not dict:
            raise ValueError("expected a map")

        found: dict[str, Any] = {}
        for key, attribute, check, _, _ in self.keys:
            if key in value:
                try:
                    found[attribute] = check(value[key])
                except ValueError as exc:
                    raise ValueError(f"{key} ({attribute}): {exc}") from None
            elif attribute in self.required:
                raise ValueError(f"{key} ({attribute}): missing")
        message = self._cls(**found)
        self._check_whole(message)
        return message

    def write(self, message: T) -> dict[str, Any]:
        """The map of a message. Raises ``ValueError`` where ``read`` would."""
        out: dict[str, Any] = {}
        for key, attribute, check, write, brief in self.keys:
            found = getattr(message, attribute)
            if brief and found is self._defaults[attribute]:
                continue
            try:
                out[key] = (write or check)(found)
            except ValueError as exc:
                raise ValueError(f"{key} ({attribute}): {exc}") from None
        self._check_whole(message)
        return out

    def _check_whole(self, message: T) -> None:
        if self._agree is not None and (wrong := self._agree(message)) is not None:
            raise ValueError(wrong)


# -- checks of single values


def integer(low: int, high: int) -> Check:
    """An integer in ``low..high``; booleans are none."""

    def check(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"expected an integer in {low}..{high}")
        return value

    return check


def text(limit: int, *, least: int = 0) -> Check:
    """A string of ``least..limit`` characters without NUL."""

    def check(value: object) -> str:
        if type(value) is not str or not least <= len(value) <= limit or "\0" in value:
            raise ValueError(f"expected a string of {least}..{limit} characters without NUL")
        return value

    return check


def binary(limit: int, *, least: int = 0) -> Check:
    """A byte string of ``least..limit`` bytes."""

    def check(value: object) -> bytes:
        if type(value) is not bytes or not least <= len(value) <= limit:
            raise ValueError(f"expected {least}..{limit} bytes")
        return value

    return check


def flag(value: object) -> bool:
    """True or false, nothing that merely looks so."""
    if type(value) is not bool:
        raise ValueError("expected true or false")
    return value


def word(enum: type[StrEnum]) -> Check:
    """A word of a closed list."""
    words: dict[str, StrEnum] = {member.value: member for member in enum}

    def check(value: object) -> StrEnum:
        found = words.get(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f"expected a word of {enum.__name__}")
        return found

    return check


def identifier(value: object) -> str:
    """The id of a terminal, an upgrade or an order."""
    if type(value) is not str or not is_terminal_id(value):
        raise ValueError("expected 1..64 characters of A-Z a-z 0-9 _ -")
    return value


def map_key(value: object) -> str:
    """A key of a free map."""
    if type(value) is not str or not 1 <= len(value) <= MAX_KEY_CHARS or "\0" in value:
        raise ValueError(f"expected map keys of 1..{MAX_KEY_CHARS} characters without NUL")
    return value


# -- checks of values that hold others


def ranges(limit: int, stop: int) -> Check:
    """At most ``limit`` ascending half-open ranges below ``stop`` that do not touch."""

    def check(value: object) -> tuple[tuple[int, int], ...]:
        if type(value) is not tuple or len(value) > limit:
            raise ValueError(f"expected at most {limit} ranges")
        at = -1
        for pair in value:
            if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not int or type(pair[1]) is not int:
                raise ValueError("expected [start, stop] pairs of integers")
            if not at < pair[0] < pair[1] <= stop:
                raise ValueError(f"expected ascending, disjoint, non-empty ranges that do not touch, up to {stop}")
            at = pair[1]
        return value

    return check


def sequence(item: Check, limit: int) -> Check:
    """A list of at most ``limit`` values that each pass ``item``."""

    def check(value: object) -> tuple[Any, ...]:
        if type(value) is not tuple or len(value) > limit:
            raise ValueError(f"expected a list of at most {limit}")
        return tuple(item(element) for element in value)

    return check


def mapping(item: Check, limit: int, key: Check = map_key) -> Check:
    """A map of at most ``limit`` entries whose keys pass ``key`` and whose values pass ``item``."""

    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) > limit:
            raise ValueError(f"expected a map of at most {limit} entries")
        return {key(name): item(element) for name, element in value.items()}

    return check


def record(key: str, attribute: str, table: Table[Any], *, optional: bool = False) -> Field:
    """A key that holds a nested record; ``null`` stands for none when ``optional``."""
    if not optional:
        return Field(key, attribute, table.read, table.write)

    def read(value: object) -> object:
        return None if value is None else table.read(value)

    def write(value: Any) -> object:  # noqa: ANN401 - whatever the attribute holds
        return None if value is None else table.write(value)

    return Field(key, attribute, read, write)


def plain(value: object) -> dict[str, Any]:
    """A free-form map: only plain values, at most ``MAX_NODES`` of them, nested at most ``MAX_DEPTH`` deep."""
    if not isinstance(value, Mapping):
        raise ValueError("expected a map")

    left = MAX_NODES
    stack: list[tuple[object, int]] = [(value, 1)]
    while stack:
        node, depth = stack.pop()
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise ValueError(f"expected at most {MAX_NODES} values nested at most {MAX_DEPTH} deep")
        if _is_scalar(node):
            continue
        if isinstance(node, tuple | list):
            stack.extend((element, depth + 1) for element in node)
        elif isinstance(node, Mapping):
            stack.extend((element, depth + 1) for element in node.values())
            for name in node:
                map_key(name)
        else:
            raise ValueError("expected null, booleans, numbers, strings, bytes, lists and maps only")
    return value if type(value) is dict else dict(value)


def _is_scalar(node: object) -> bool:
    """Whether ``node`` is a plain value that holds no other; ``ValueError`` when it is one beyond its limit."""
    if isinstance(node, str):
        if len(node) > MAX_TEXT_CHARS or "\0" in node:
            raise ValueError(f"expected strings of at most {MAX_TEXT_CHARS} characters without NUL")
    elif isinstance(node, float):
        if not math.isfinite(node):
            raise ValueError("expected finite numbers")
    elif isinstance(node, int):
        if not -MAX_INTEGER <= node <= MAX_INTEGER:
            raise ValueError(f"expected integers in {-MAX_INTEGER}..{MAX_INTEGER}")
    else:
        return node is None or isinstance(node, bytes)
    return True
