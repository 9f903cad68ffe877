"""The tree of everything that can go wrong, by who can act on it. Nothing here imports anything of ours.

    TillgateError
    ├── WireError        a terminal (or a stranger) sent bytes that break the protocol
    ├── TrustError       a package, order or key is not to be believed
    ├── RequestError     a person or backend asked for something that cannot be done as asked
    │   ├── NotFoundError
    │   ├── ConflictError
    │   ├── UnauthorizedError
    │   └── TooLargeError
    ├── StateError       our own bug: an event that the state table does not know
    ├── StoreError       the database cannot be read or written now
    │   └── StoreInUseError
    ├── LinkError        the broker cannot be reached now
    └── ConfigError      the settings do not make sense

Every error has a stable ``code`` (snake_case, never renamed), a text that says what was wrong, what was expected and what to
do, and its facts as keyword arguments.
"""

from __future__ import annotations


class TillgateError(Exception):
    """The root. ``code`` is stable and machine-readable; ``facts`` are the numbers and names behind the text."""

    code: str = "error"

    def __init__(self, message: str, *, code: str | None = None, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.facts = facts


class WireError(TillgateError):
    """Bytes from the air that break docs/protocol.md; ``code`` is the reason under which they are counted."""

    code = "wire_invalid"


class TrustError(TillgateError):
    """A package, order or key that must not be acted on.

    ``code`` is a word of ``gateway.wire.codes.Code``, ``key_invalid`` for a key that cannot be read, or ``magic_invalid`` and
    ``manifest_too_long`` for a file that is no package.
    """

    code = "trust_refused"


class RequestError(TillgateError):
    """A request that cannot be carried out as asked; the caller can mend it."""

    code = "request_invalid"


class NotFoundError(RequestError):
    """The thing that the request names does not exist."""

    code = "not_found"


class ConflictError(RequestError):
    """The thing exists, but its state does not allow the request."""

    code = "conflict"


class UnauthorizedError(RequestError):
    """No bearer token, or a wrong one."""

    code = "unauthorized"


class TooLargeError(RequestError):
    """The request is larger than the limit that the text names."""

    code = "too_large"


class StateError(TillgateError):
    """Our own bug: an event reached a state that has no row for it."""

    code = "state_bug"


class StoreError(TillgateError):
    """The store cannot be read or written now; nothing of the failed transaction was kept."""

    code = "store_failed"


class StoreInUseError(StoreError):
    """Another gateway process has this store open."""

    code = "store_in_use"


class LinkError(TillgateError):
    """The broker is away or refused us; the link reconnects by itself."""

    code = "link_down"


class ConfigError(TillgateError):
    """The settings are contradictory, or a file that they name is missing or wrong (``key_invalid``, ``key_exposed``)."""

    code = "config_invalid"
