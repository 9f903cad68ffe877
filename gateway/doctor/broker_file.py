"""A Mosquitto configuration that can be read on this machine: are the settings on which the gateway counts as they should be.

What each is for stands in ``mosquitto/mosquitto.conf``. Any other broker, or one elsewhere, is judged by ``broker`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.doctor.finding import Finding, Status, fail, warn, well

#: Where Debian's package reads it.
USUAL: Final = Path("/etc/mosquitto/mosquitto.conf")
#: The protocol's largest payload in the largest packet.
PACKET_BYTES: Final = 66_560
_FILES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One directive: the broker's own default, what is right, and why."""

    directive: str
    default: str
    right: Callable[[str], bool]
    status: Status
    expected: str
    why: str


def _at_least(least: int) -> Callable[[str], bool]:
    """A number of at least ``least``, or 0 for no limit."""
    return lambda value: value.isdecimal() and (int(value) == 0 or int(value) >= least)


def _at_most(most: int) -> Callable[[str], bool]:
    return lambda value: value.isdecimal() and 1 <= int(value) <= most


def _is(word: str) -> Callable[[str], bool]:
    return lambda value: value == word


WANTED: Final = (
    _Wanted(
        "set_tcp_nodelay", "false", _is("true"), Status.WARN, "true", "small packets wait for each other, TLS connects crawl"
    ),
    _Wanted(
        "max_queued_messages",
        "1000",
        _at_least(10_000),
        Status.WARN,
        "10000 or more",
        "what a fleet says while the gateway pauses for a second is dropped",
    ),
    _Wanted(
        "max_inflight_messages", "20", _at_least(200), Status.WARN, "1000", "reports wait a round trip each after an outage"
    ),
    _Wanted(
        "max_packet_size",
        "0",
        _at_least(PACKET_BYTES),
        Status.FAIL,
        f"{PACKET_BYTES} or more",
        "offers of large packages throw their terminals out",
    ),
    _Wanted("queue_qos0_messages", "false", _is("false"), Status.WARN, "false", "chunks pile up for terminals that are away"),
    _Wanted("allow_anonymous", "false", _is("false"), Status.FAIL, "false", "anybody may speak for any terminal"),
    _Wanted("acl_file", "", bool, Status.FAIL, "mosquitto/acl as shipped", "every terminal may speak for every other"),
    _Wanted("persistence", "false", _is("true"), Status.WARN, "true", "all terminals subscribe anew after a restart"),
    _Wanted("autosave_interval", "1800", _at_most(300), Status.WARN, "60", "a crash loses the sessions since the last save"),
)


def check_broker_file(file: Path) -> list[Finding]:
    """What is not as it should be in ``file`` and what it includes; one line when all is."""
    try:
        found = read(file)
    except OSError as exc:
        return [
            warn("broker.conf", f"{exc.filename}: {exc.strerror}", "run the doctor as a user who may read it, or --broker-conf")
        ]
    wrong = [_judge(one, found.get(one.directive, one.default)) for one in WANTED]
    return [one for one in wrong if one is not None] or [
        well("broker.conf", f"{file}: {len(WANTED)} settings as they should be")
    ]


def read(file: Path, *, is_main: bool = True) -> Mapping[str, str]:
    """The directives of a configuration by name, those of files that it includes too; the last one of a name counts.

    As in Mosquitto, an included file (not ``is_main``) includes no others.

    Raises:
        OSError: a file cannot be read.
    """
    found: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.strip().partition(" ")
        if not name or name.startswith("#"):
            continue
        found[name] = value.strip()
        if name == "include_dir" and is_main:
            for more in sorted(Path(value.strip()).glob("*.conf"))[:_FILES_MAX]:
                found |= read(more, is_main=False)
    return found


def _judge(wanted: _Wanted, value: str) -> Finding | None:
    if wanted.right(value):
        return None
    say = fail if wanted.status is Status.FAIL else warn
    return say(
        f"broker.{wanted.directive}", value or "not set", f"set {wanted.directive} to {wanted.expected}, else {wanted.why}"
    )
