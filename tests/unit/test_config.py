"""Settings: the environment wins over the file, paths follow the file, and nothing secret is ever shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import load, read_private_key, read_public_key
from gateway.core.budgets import Limit
from gateway.errors import ConfigError, RequestError
from gateway.trust.keys import private_text, public_of, public_text

Write = Callable[[str], Path]
KEY = b"\xab" * 32


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


def secret_file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """A file with these rights."""
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_keys_are_read_from_their_files(write: Write, tmp_path: Path) -> None:
    secret_file(tmp_path / "k", private_text(KEY).encode())
    (tmp_path / "k.pub").write_text(public_text(public_of(KEY)))
    settings = load(write('order_key_file = "k"\npublisher_key_files = ["k.pub"]'))

    assert settings.order_key() == KEY
    assert settings.publisher_keys() == (public_of(KEY),)
    with pytest.raises(ConfigError, match="no key to sign orders"):
        load(write("")).order_key()
    with pytest.raises(ConfigError, match="no publisher is believed"):
        load(write("")).publisher_keys()


def test_one_half_of_a_key_is_not_taken_for_the_other(write: Write, tmp_path: Path) -> None:
    secret_file(tmp_path / "k", private_text(KEY).encode())
    (tmp_path / "k.pub").write_text(public_text(public_of(KEY)))
    (tmp_path / "k.pub").chmod(0o600)
    settings = load(write('order_key_file = "k.pub"\npublisher_key_files = ["k"]'))

    for read, said in (
        (settings.order_key, "the private half is needed"),
        (settings.publisher_keys, "the public half is needed"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            read()
        assert caught.value.code == "key_invalid"
        assert "\n" not in caught.value.message


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o644, 0o666, 0o601])
def test_a_private_key_that_others_have_rights_to_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path / "k", private_text(KEY).encode(), mode)

    with pytest.raises(ConfigError, match="chmod 600") as caught:
        read_private_key(path)
    assert caught.value.code == "key_exposed"
    assert str(path) in caught.value.message


def test_the_group_may_read_a_private_key_of_roots_alone(tmp_path: Path) -> None:
    """As secrets are mounted into a container."""
    path = secret_file(tmp_path / "k", private_text(KEY).encode(), 0o640)

    if path.stat().st_uid == 0:
        assert read_private_key(path) == KEY
    else:
        with pytest.raises(ConfigError, match="chmod 600"):
            read_private_key(path)


@pytest.mark.parametrize("content", [b"", b"zz" * 32, b"ab" * 32, b"\xff\xfe"])
@pytest.mark.parametrize("read", [read_private_key, read_public_key])
def test_a_broken_key_file_is_named_and_not_quoted(tmp_path: Path, content: bytes, read: Callable[[Path], bytes]) -> None:
    path = secret_file(tmp_path / "k", content)

    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(path) in caught.value.message
    assert "zz" not in caught.value.message
    assert "abab" not in caught.value.message


@pytest.mark.parametrize("read", [read_private_key, read_public_key])
def test_a_missing_key_file_is_named(tmp_path: Path, read: Callable[[Path], bytes]) -> None:
    with pytest.raises(ConfigError, match=r"key file .*k: No such file"):
        read(tmp_path / "k")


@pytest.mark.parametrize("value", [-1, 0, 1, 1023, 1024, 262_143, 262_144, 2**50, 2**50 + 1])
@pytest.mark.parametrize("part", ["bytes_per_s", "bytes_per_day"])
def test_budgets_are_what_a_limit_of_the_core_takes(write: Write, part: str, value: int) -> None:
    """The rule stands twice, since settings know nothing of the core."""

    def refused(call: Callable[[], object]) -> bool:
        try:
            call()
        except (ConfigError, RequestError):
            return True
        return False

    file = write(f"site_{part} = {value}")
    assert refused(lambda: load(file)) == refused(lambda: Limit(**{part: value}))


def test_a_budgets_day_begins_in_a_zone_that_there_is(write: Write) -> None:
    assert load(write('budget_zone = "Asia/Shanghai"')).budget_zone == "Asia/Shanghai"
    with pytest.raises(ConfigError, match=r"budget_zone: .*expected an IANA time zone"):
        load(write('budget_zone = "Mars/Base"'))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('_env_file = "x"', "_env_file: there is no such setting"),
        ("_cli_parse_args = true", "_cli_parse_args: there is no such setting"),
        ("broker_port = " + "9" * 5_000, "digits"),
        ("broker_port = " + "[" * 5_000, "recursion"),
        ("a." * 100 + "b = 1", "more than 64 dots"),
    ],
)
def test_a_file_that_would_confuse_or_exhaust_its_reader_is_refused(write: Write, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(write(text))
