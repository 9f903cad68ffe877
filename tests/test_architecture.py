"""docs/architecture.md names files and what is in them; a newcomer must find them there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
TEXT: Final = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

#: `engine/pump.py` or `engine/dispatcher.py: run_bulk`, the second naming a function, class or constant.
NAMED: Final = sorted(set(re.findall(r"`([a-z_./]+\.(?:py|md|toml))(?:: (\w+))?`", TEXT)))


def find(path: str) -> Path | None:
    """The file below the root or, as in most of the text, below the gateway."""
    return next((base / path for base in (ROOT, ROOT / "gateway") if (base / path).is_file()), None)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{path}:{name}" for path, name in NAMED])
def test_a_file_that_is_named_exists_and_holds_what_is_said_of_it(path: str, name: str) -> None:
    file = find(path)

    assert file is not None, f"docs/architecture.md names {path}, which does not exist"
    if name:
        pattern = rf"^\s*(?:(?:async )?def|class) {name}\b|^{name}\b.* ="
        assert re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE), f"{path} has no {name}"


def test_every_module_of_the_core_and_the_engine_has_its_line_in_the_layout() -> None:
    layout = TEXT.split("## Layout")[1].split("## ")[0]
    modules = [file for room in ("core", "engine") for file in (ROOT / "gateway" / room).glob("*.py")]

    assert [file.name for file in modules if file.name != "__init__.py" and file.name not in layout] == []


def test_every_room_of_the_gateway_has_its_line_in_the_layout() -> None:
    layout = TEXT.split("## Layout")[1].split("## ")[0]
    rooms = [folder.name for folder in (ROOT / "gateway").iterdir() if (folder / "__init__.py").is_file()]

    assert [room for room in rooms if f"  {room}/" not in layout] == []
