"""``tillgate init`` and ``serve``, and what a person sees when the gateway or the command line is not as it should be."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.app import main
from gateway.config import load, read_private_key, read_public_key
from gateway.trust.keys import public_of


def tillgate(*arguments: object, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does, in ``folder``."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TILLGATE_")}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *(str(one) for one in arguments)],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(Path(__file__).parents[2]), **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed command said: one line on standard error, nothing on standard output, exit code 2."""
    assert (done.returncode, done.stdout) == (2, ""), (done.stdout, done.stderr)
    [line] = done.stderr.splitlines()
    assert line.startswith("tillgate: ")
    return line.removeprefix("tillgate: ")


def test_init_makes_a_gateway_that_reads_its_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in [key for key in os.environ if key.startswith("TILLGATE_")]:
        monkeypatch.delenv(key)
    folder = tmp_path / "gateway"
    assert main(["init", str(folder), "--broker-port", "2883", "--http-port", "9999"]) == 0

    settings = load(folder / "tillgate.toml")
    assert (settings.broker_port, settings.http_port) == (2883, 9999)
    assert settings.store_path == folder / "var" / "tillgate.db"
    assert len(settings.bearer_token()) >= 32
    assert public_of(settings.order_key()) == read_public_key(folder / "keys" / "order.pub")
    assert settings.publisher_keys() == (public_of(read_private_key(folder / "keys" / "publisher.key")),)
    for name in ("keys/order.key", "keys/publisher.key", "token"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "order.key").write_text("precious")

    assert main(["init", str(tmp_path)]) == 2
    assert "holds keys/order.key already; nothing was changed" in capsys.readouterr().err
    assert (tmp_path / "keys" / "order.key").read_text() == "precious"
    assert not (tmp_path / "tillgate.toml").exists()


@pytest.mark.parametrize("host", ["", 'x"y', "a b", "a\nb"])
def test_init_takes_no_host_that_breaks_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str) -> None:
    assert main(["init", str(tmp_path / "g"), "--broker-host", host]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "g").exists()


def test_without_a_gateway_each_command_says_so_in_one_line(tmp_path: Path) -> None:
    assert "which gateway?" in one_line(tillgate("terminal", "list", folder=tmp_path))
    away = tillgate("--url", "http://127.0.0.1:1", "--token", "x" * 16, "campaign", "list", folder=tmp_path)
    assert one_line(away) == "no gateway answers at http://127.0.0.1:1; is `tillgate serve` running?"
    no_url = tillgate("campaign", "list", folder=tmp_path, TILLGATE_URL="nonsense", TILLGATE_TOKEN="x" * 16)
    assert "is not a URL" in one_line(no_url)
    assert "No such command" in one_line(tillgate("campain", folder=tmp_path))
    nowhere = ("--url", "http://127.0.0.1:1", "--token", "x")
    assert "is not an id" in one_line(tillgate(*nowhere, "order", "show", "../x", folder=tmp_path))
    assert "is not a duration" in one_line(tillgate(*nowhere, "order", "reboot", "T1", "--expires", "soon", folder=tmp_path))


def test_serve_refuses_settings_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in [key for key in os.environ if key.startswith("TILLGATE_")]:
        monkeypatch.delenv(key)
    assert main(["init", str(tmp_path / "g")]) == 0
    file = tmp_path / "g" / "tillgate.toml"
    good = file.read_text()

    def said(text: str) -> str:
        file.write_text(text)
        capsys.readouterr()
        assert main(["--config", str(file), "serve"]) == 2
        out, err = capsys.readouterr()
        assert (out, len(err.splitlines())) == ("", 1)
        return err

    assert "colour: Extra inputs are not permitted" in said(good + 'colour = "red"\n')
    assert "settings file" in said(good + "= 5\n")
    assert "http_port: Input should be less than or equal to 65535" in said(good.replace("8080", "80800"))
    assert "bearer token must be" in said(good.replace('token_file = "token"', 'token = "short"'))
    assert "set token or token_file, not both" in said(good + f'token = "{"x" * 16}"\n')
    assert "no publisher is believed" in said(good.replace('["keys/publisher.pub"]', "[]"))
    assert "this is the public half of a key" in said(good.replace("order.key", "order.pub"))
    assert "this is the private half of a key" in said(good.replace("publisher.pub", "publisher.key"))
    (tmp_path / "g" / "keys" / "order.key").chmod(0o644)
    assert "chmod 600" in said(good)
    (tmp_path / "g" / "keys" / "order.key").chmod(0o600)
    (tmp_path / "g" / "keys" / "order.key").write_text("zz")
    assert "this is no private key" in said(good)
    file.unlink()
    assert main(["--config", str(file), "serve"]) == 2
    assert "No such file" in capsys.readouterr().err
