"""The shape of the tree: what every module owes its readers, checked from its source alone."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
MAX_LINES: Final = 350  # beyond it a module holds more than one idea

#: Packages of ``gateway`` that are tested module by module; the others are tested through what they do together.
TESTED_APART: Final = ("core", "wire", "trust", "store", "packages", "link")
#: Where the test of a module may lie, below ``tests``: with nothing real to talk to, or with a real broker or database.
KINDS: Final = ("unit", "integration")
#: Modules without a test file of their own name, each with its reason.
UNTESTED: Final[dict[str, str]] = {
    "gateway/core/effects.py": "dataclasses without behaviour",
    "gateway/core/events.py": "dataclasses without behaviour",
    "gateway/wire/messages.py": "dataclasses without behaviour; tests of codec.py fill and read every field",
    "gateway/link/settings.py": "a dataclass; tests of mqtt.py connect with it",
}


def modules(*folders: str) -> list[Path]:
    """The Python files below ``folders``, relative to the root."""
    return sorted(file.relative_to(ROOT) for folder in folders for file in (ROOT / folder).rglob("*.py"))


def places_of(module: Path) -> list[Path]:
    """The places where the test file of ``gateway/<package>/.../<name>.py`` may lie."""
    return [Path("tests", kind, *module.parts[1:-1], f"test_{module.name}") for kind in KINDS]


@pytest.mark.parametrize("module", modules("gateway", "device_sim", "tests", "bench", "scripts"), ids=str)
def test_module_says_what_it_is_for_and_holds_one_idea(module: Path) -> None:
    source = (ROOT / module).read_text()

    assert ast.get_docstring(ast.parse(source)), f"{module} has no docstring"
    assert len(source.splitlines()) <= MAX_LINES, f"{module} is longer than {MAX_LINES} lines"


def test_every_module_of_the_inner_layers_has_a_test_of_its_name() -> None:
    untested = {
        module.as_posix()
        for module in modules(*(f"gateway/{package}" for package in TESTED_APART))
        if module.name != "__init__.py"
        and "migrations" not in module.parts  # run by every test that opens a database
        and not any((ROOT / test).exists() for test in places_of(module))
    }

    assert untested == set(UNTESTED)


def test_simulator_is_kept_from_every_package_that_it_must_not_know() -> None:
    """The contract in pyproject.toml names what is forbidden, so a new package must be added to it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [contract] = [contract for contract in contracts if contract.get("source_modules") == ["device_sim"]]
    children = {f"gateway.{module.parts[1].removesuffix('.py')}" for module in modules("gateway")}

    assert set(contract["forbidden_modules"]) == children - {
        "gateway.__init__",
        "gateway.wire",
        "gateway.trust",
        "gateway.errors",
    }
