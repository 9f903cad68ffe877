"""docs/operations.md is complete: every setting, every code that a person may meet, every term, every command."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest
import typer.main

from gateway.cli.app import app
from gateway.config import Settings
from gateway.core.rollout import RULES
from gateway.services.terms import Terms
from gateway.wire.codes import Code

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
NAMED: Final = set(re.findall(r"`([a-z_]+)`", TEXT))

#: Reasons for refusing a message from the air; counted as ``bad:<reason>``, never told to a person as an error.
_ON_THE_AIR: Final = ("gateway/wire/", "gateway/link/", "gateway/engine/", "gateway/core/transfer/")
#: Terms that only the gateway itself sets.
_INNER_TERMS: Final = {"forgiven_count", "canary_waived", "install_released_by"}


def codes_in_source() -> set[str]:
    """Every literal ``code`` of the gateway's errors."""
    found: set[str] = set()
    for path in (ROOT / "gateway").rglob("*.py"):
        if path.relative_to(ROOT).as_posix().startswith(_ON_THE_AIR):
            continue
        source = path.read_text(encoding="utf-8")
        found.update(re.findall(r"""\bcode(?:: str)?\s*=\s*"([a-z_]+)""" + '"', source))
        found.update(re.findall(r"""problem\(\s*[0-9]+, "([a-z_]+)""" + '"', source))
    return found - {"error", "wire_invalid"}


def test_every_setting_is_explained() -> None:
    assert set(Settings.model_fields) - NAMED == set()


def test_every_code_is_explained() -> None:
    assert codes_in_source() - NAMED == set()
    assert {code.value for code in Code} - NAMED == set()
    assert RULES  # their codes are literals in the source too


def test_every_term_is_explained() -> None:
    assert {one.name for one in fields(Terms)} - _INNER_TERMS - NAMED == set()


@pytest.mark.parametrize("group", ["", "terminal", "package", "campaign", "upgrade", "budget", "order"])
def test_every_command_is_named(group: str) -> None:
    command = typer.main.get_command(app)
    commands = getattr(command, "commands", {})
    if group:
        commands = commands[group].commands
    names = {f"{group} {name}".strip() for name in commands} - {"terminal", "package", "campaign", "upgrade", "budget", "order"}

    assert sorted(name for name in names if not re.search(rf"`{name}\b", TEXT)) == []
