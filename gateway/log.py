"""Sets structlog up: one line per event on standard error, as JSON for machines or in columns for people.

Called once by the command line before anything else runs. An event is a stable snake_case word and its facts are keys.
Payloads, tokens and keys are never facts; should one slip in under a telling name, it is masked here, and tracebacks show no
local variables. Lines of libraries that use the standard ``logging`` take the same way out, from warnings up.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal

import structlog

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console"]

MASK: Final = "***"
_SECRET_WORDS: Final = ("token", "password", "secret", "private", "authorization", "payload")


def configure(level: Level = "info", form: Format = "json") -> None:
    """Send all events of ``level`` and above to standard error in the given form. May be called again; the last call holds."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[structlog.typing.Processor]
    if form == "json":
        frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        last = [structlog.processors.ExceptionRenderer(frames), structlog.processors.JSONRenderer(default=str)]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]

    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))


def mask_secrets(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide the value of every key that names a secret or a payload, and any bytes."""
    del logger, method
    for key, value in event.items():
        if isinstance(value, bytes | bytearray | memoryview):
            event[key] = f"<{len(value)} bytes>"
        elif any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = MASK
    return event
