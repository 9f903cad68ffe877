"""An open store for one test: a copy of one whose tables were made once for the run."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.store import migrate
from gateway.store.database import Database


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables and no rows."""
    file = tmp_path_factory.mktemp("store") / "empty.db"
    file.touch()
    migrate.bring_up(file)
    return file


@pytest.fixture
def store_file(empty_store: Path, tmp_path: Path) -> Path:
    """A store of the test's own, closed."""
    return Path(shutil.copy(empty_store, tmp_path / "tillgate.db"))


@pytest_asyncio.fixture
async def db(store_file: Path) -> AsyncIterator[Database]:
    """A store of the test's own, open."""
    async with Database.open(store_file, readers=2, busy_timeout_s=0.2) as database:
        yield database
