"""A real Mosquitto on a free port of the loopback, under ``mosquitto/mosquitto.conf`` and ``mosquitto/acl`` as shipped.

Only paths, the port and the log's destination are replaced, so that every start tests the configuration that operators get.
``Broker`` is a context manager; it ends the process that it has started and no other. All calls block, for well under a second.
"""

from __future__ import annotations

import itertools
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.harness.process import Process

CONFIGURATION: Final = Path(__file__).parents[2] / "mosquitto"
START_S: Final = 30.0  # how long a start or a reload may take
_POLL_S: Final = 0.01
_STARTS: Final = 5  # tries, since another process may take the free port before the broker does


class BrokerError(RuntimeError):
    """The broker did not start, or did not take its users; the text holds its log."""


class Broker:
    """One broker in ``folder`` (made when missing), with the gateway's user and the terminals named to ``add_terminals``."""

    host: Final = "127.0.0.1"
    gateway_user: Final = "tillgate"

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        """Nothing runs before ``start`` or ``with``. Without ``port`` a free one is taken, and kept over restarts."""
        self.folder = folder.resolve()
        self.gateway_password: Final = secrets.token_hex(16)
        self._terminal_password: Final = secrets.token_hex(16)
        self._port = port
        self._names = (f"t{number:05}" for number in itertools.count(1))
        self._process: Process | None = None

    @property
    def port(self) -> int:
        """Where it listens; ``BrokerError`` before the first start without a port."""
        if self._port is None:
            raise BrokerError("the broker has no port before it is started")
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the running broker; ``BrokerError`` when there is none."""
        if self._process is None:
            raise BrokerError("the broker is not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process has been started and has not ended."""
        return self._process is not None and self._process.running

    @property
    def log(self) -> Path:
        """What it has said, over all restarts."""
        return self.folder / "mosquitto.log"

    def terminal_password(self, terminal: str) -> str:
        """The password of ``terminal`` on both of its connections: one for all, so that a swarm needs a single setting.

        The broker tells terminals apart by user name; the rules are the same as with a password for each.
        """
        del terminal
        return self._terminal_password

    def add_terminals(self, terminals: Iterable[str]) -> None:
        """Let these terminals log in; returns when the broker knows them. Thousands at once are fine."""
        known = set(self._users())
        new = [terminal for terminal in dict.fromkeys(terminals) if terminal not in known]
        if not new:
            return

        self._add_users(dict.fromkeys(new, self._terminal_password))
        if self._process is not None and self._process.running:
            self._process.signal(signal.SIGHUP)
            self._await_login(new[-1], self._terminal_password)

    def new_terminals(self, count: int) -> list[str]:
        """``count`` terminals that this broker has not had, ready to log in: tests that share a broker share no terminal."""
        terminals = list(itertools.islice(self._names, count))
        self.add_terminals(terminals)
        return terminals

    def start(self) -> None:
        """Start it and wait until the gateway's user can log in."""
        self._prepare()
        for _ in range(_STARTS if self._port is None else 1):
            port = self._port or free_port()
            self._write_configuration(port)
            process = Process(["mosquitto", "-c", str(self.folder / "mosquitto.conf")], log=self.log, env={"PATH": _path()})
            if self._await_start(process, port):
                self._port, self._process = port, process
                return
            process.kill()
        raise BrokerError(f"mosquitto did not start:\n{self.log_tail()}")

    def kill(self) -> None:
        """``kill -9``: sessions since the last autosave are lost, as in a power cut. ``start`` brings it back, same port."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def stop(self) -> None:
        """End it in order: it saves its sessions."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def restart(self) -> None:
        """``stop`` and ``start``, on the same port, with the sessions that it has saved."""
        self.stop()
        self.start()

    def signal(self, number: signal.Signals) -> None:
        """Send the running broker a signal: SIGHUP makes it read its users, rules and certificates again."""
        if self._process is not None:
            self._process.signal(number)

    def log_tail(self, start: int = 0, lines: int = 40) -> str:
        """The last lines of its log, from byte ``start`` on."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_bytes()[start:].decode(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    # -- its files

    @property
    def _password_file(self) -> Path:
        return self.folder / "passwd"

    def _prepare(self) -> None:
        for folder in (self.folder, self.folder / "conf.d", self.folder / "data"):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(CONFIGURATION / "acl", self.folder / "acl")
        (self.folder / "acl").chmod(0o600)
        if self.gateway_user not in self._users():
            self._add_users({self.gateway_user: self.gateway_password})

    def _write_configuration(self, port: int) -> None:
        text = (CONFIGURATION / "mosquitto.conf").read_text()
        for key, value in (
            ("listener", f"{port} {self.host}"),
            ("password_file", self._password_file),
            ("acl_file", self.folder / "acl"),
            ("persistence_location", f"{self.folder / 'data'}/"),
            ("include_dir", self.folder / "conf.d"),
        ):
            text, found = re.subn(rf"(?m)^{key} .*$", f"{key} {value}", text)
            if found != 1:
                raise BrokerError(f"{found} lines for {key} in mosquitto.conf, expected 1")
        user = pwd.getpwuid(os.geteuid()).pw_name  # started by root it would become a user who may not read the folder
        (self.folder / "mosquitto.conf").write_text(f"user {user}\n{text}")

    def _users(self) -> list[str]:
        file = self._password_file
        return [line.partition(":")[0] for line in file.read_text().splitlines()] if file.exists() else []

    def _add_users(self, passwords: Mapping[str, str]) -> None:
        """Hash the new users' passwords in one go and append them; the file is replaced whole: the broker may be reading it."""
        fresh = self.folder / "passwd.new"
        fresh.touch(mode=0o600)
        fresh.write_text("".join(f"{user}:{password}\n" for user, password in passwords.items()))
        subprocess.run(["mosquitto_passwd", "-U", str(fresh)], check=True, capture_output=True, env={"PATH": _path()})
        known = self._password_file.read_text() if self._password_file.exists() else ""
        fresh.write_text(known + fresh.read_text())
        fresh.replace(self._password_file)

    # -- its readiness

    def _await_start(self, process: Process, port: int) -> bool:
        """Whether it is our process that serves ``port``: only that one knows the gateway's password."""
        give_up = time.monotonic() + START_S
        while process.running and time.monotonic() < give_up:
            if connack(self.host, port, "probe", self.gateway_user, self.gateway_password) == 0:
                return True
            time.sleep(_POLL_S)
        return False

    def _await_login(self, user: str, password: str) -> None:
        give_up = time.monotonic() + START_S
        while connack(self.host, self.port, "probe", user, password) != 0:
            if time.monotonic() > give_up:
                raise BrokerError(f"{user} cannot log in:\n{self.log_tail()}")
            time.sleep(_POLL_S)


def connack(host: str, port: int, client: str, user: str, password: str, *, tls: ssl.SSLContext | None = None) -> int | None:
    """Try to log in with MQTT 3.1.1: the CONNACK's return code (0: welcome, 5: not authorized), ``None`` without an answer."""
    fields = b"".join(len(text).to_bytes(2) + text.encode() for text in (client, user, password))
    body = b"\x00\x04MQTT\x04\xc2\x00\x0a" + fields  # level 4; user name, password, clean session; keepalive 10 s
    try:
        with socket.create_connection((host, port), timeout=1.0) as bare, tls.wrap_socket(bare) if tls else bare as line:
            line.sendall(b"\x10" + len(body).to_bytes(1) + body)
            answer = line.recv(4)
    except OSError:
        return None
    return answer[3] if len(answer) == len(b"\x20\x02\x00\x00") else None


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _path() -> str:
    """PATH with the folders of system commands, where Debian puts the broker."""
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"))
