"""Settings: the environment wins over the file, paths follow the file, and nothing secret is ever shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import load, read_key
from gateway.errors import ConfigError

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from where the tests run."""
    for key in [key for key in os.environ if key.startswith("TILLGATE_")]:
        monkeypatch.delenv(key)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the settings file."""

    def written(text: str) -> Path:
        path = tmp_path / "tillgate.toml"
        path.write_text(text)
        return path

    return written


def test_without_a_file_the_defaults_hold() -> None:
    settings = load()

    assert (settings.broker_host, settings.broker_port, settings.http_port) == ("127.0.0.1", 1883, 8080)
    assert not settings.broker_tls
    assert settings.broker_secret() is None


def test_the_environment_wins_over_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write('broker_port = 2000\nhttp_port = 3000\ntoken_file = "token"\n')
    monkeypatch.setenv("TILLGATE_HTTP_PORT", "4000")
    monkeypatch.setenv("TILLGATE_TOKEN", "from-the-environment")
    monkeypatch.setenv("TILLGATE_PUBLISHER_KEY_FILES", f"/a.pub{os.pathsep}b.pub")
    settings = load(file)

    assert (settings.broker_port, settings.http_port) == (2000, 4000)
    assert settings.bearer_token() == "from-the-environment"
    assert settings.publisher_key_files == (Path("/a.pub"), Path("b.pub"))


def test_paths_in_the_file_are_relative_to_it(write: Write) -> None:
    file = write('store_path = "var/t.db"\npackages_path = "/abs"\npublisher_key_files = ["keys/a.pub"]\n')
    settings = load(file)

    assert settings.store_path == file.parent / "var" / "t.db"
    assert settings.packages_path == Path("/abs")
    assert settings.publisher_key_files == (file.parent / "keys" / "a.pub",)


def test_the_file_may_be_named_in_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLGATE_CONFIG", str(write("http_port = 3000\n")))

    assert load().http_port == 3000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "colour: Extra inputs are not permitted"),
        ("http_port = 70000", "http_port: Input should be less than or equal to 65535"),
        ('log_level = "loud"', "log_level: Input should be 'debug', 'info', 'warning' or 'error'"),
        ('token = "0123456789abcdef"\ntoken_file = "t"', "set token or token_file, not both"),
        ('broker_cert_file = "c.pem"', "broker_cert_file and broker_key_file go together"),
        ("= 1", "settings file"),
    ],
)
def test_a_wrong_setting_is_named(write: Write, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(text))

    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_secrets_are_not_shown(write: Write) -> None:
    file = write('token = "0123456789abcdef"\nbroker_password = "hunter22"\n')
    settings = load(file)
    with pytest.raises(ConfigError) as caught:
        load(write('token = "0123456789abcdef"\nbroker_password = ["hunter22"]\n'))

    assert "hunter22" not in repr(settings) + str(caught.value)
    assert "0123456789abcdef" not in repr(settings)
    assert settings.broker_secret() == "hunter22"


@pytest.mark.parametrize("token", ["short", "with spaces in the middle", "tabs\tare no good either", "münchen-münchen-münchen"])
def test_a_token_that_is_none_is_refused(write: Write, tmp_path: Path, token: str) -> None:
    (tmp_path / "token").write_text(token + "\n")

    with pytest.raises(ConfigError) as caught:
        load(write('token_file = "token"')).bearer_token()
    assert token not in caught.value.message


def test_keys_are_read_from_their_files(write: Write, tmp_path: Path) -> None:
    (tmp_path / "k").write_text("ab" * 32 + "\n")
    settings = load(write('order_key_file = "k"\npublisher_key_files = ["k"]'))

    assert settings.order_key() == b"\xab" * 32
    assert settings.publisher_keys() == (b"\xab" * 32,)
    with pytest.raises(ConfigError, match="no key to sign orders"):
        load(write("")).order_key()
    with pytest.raises(ConfigError, match="no publisher is believed"):
        load(write("")).publisher_keys()


@pytest.mark.parametrize("content", [b"", b"zz" * 32, b"ab" * 31, b"ab" * 33, b"\xff\xfe"])
def test_a_broken_key_file_is_named_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k").write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        read_key(tmp_path / "k")
    assert str(tmp_path / "k") in caught.value.message
    assert "zz" not in caught.value.message
