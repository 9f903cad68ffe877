"""Logging: one line per event on standard error, secrets masked, tracebacks without local variables."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator

import pytest
import structlog

from gateway import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as it was before."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def test_an_event_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    structlog.get_logger().info("upgrade_finished", terminal="T1", seconds=3)
    structlog.get_logger().debug("not_shown")
    logging.getLogger("library").warning("careful: %s", 5)
    logging.getLogger("library").info("not shown")
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in err.splitlines()]

    assert out == ""
    assert [(line["event"], line["level"]) for line in lines] == [("upgrade_finished", "info"), ("careful: 5", "warning")]
    assert (lines[0]["terminal"], lines[0]["seconds"], lines[1]["logger"]) == ("T1", 3, "library")


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_payloads_and_local_variables_stay_inside(capsys: pytest.CaptureFixture[str], form: log.Format) -> None:
    log.configure("info", form)
    local = secrets.token_hex(8)
    try:
        len(local) // 0
    except ZeroDivisionError:
        structlog.get_logger().exception("failed", bearer_token="t0ken", broker_password="hunter22", chunk=b"b0dy")
    text = capsys.readouterr().err

    assert "ZeroDivisionError" in text
    assert "<4 bytes>" in text
    assert not any(word in text for word in ("t0ken", "hunter22", "b0dy", local))


def test_the_last_call_holds(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("error", "json")
    log.configure("debug", "console")
    structlog.get_logger().debug("shown")

    assert "shown" in capsys.readouterr().err
    assert len(logging.getLogger().handlers) == 1
