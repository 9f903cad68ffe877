"""Fixtures of the end-to-end tests: stages with a running gateway.

``stage`` is one gateway for the whole run: ask ``stage.broker`` for new terminals, make packages of your own, and leave it
running. ``own_stage`` is a test's own, with its own broker, both of which it may kill. ``air`` makes ends that a test plays.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.hand import Air
from tests.harness.broker import Broker
from tests.harness.stage import Stage


@pytest.fixture(scope="session")
def stage(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The run's common gateway; not to be killed."""
    with Stage(tmp_path_factory.mktemp("stage"), broker) as running:
        running.start_gateway()
        yield running


@pytest.fixture
def quiet_stage(broker: Broker, tmp_path: Path) -> Iterator[Stage]:
    """A stage for this test alone on the common broker, with keys and settings and no gateway."""
    with Stage(tmp_path / "stage", broker) as made:
        yield made


@pytest.fixture
def own_stage(own_broker: Broker, tmp_path: Path) -> Iterator[Stage]:
    """A stage for this test alone, its gateway running."""
    with Stage(tmp_path / "stage", own_broker) as running:
        running.start_gateway()
        yield running


@pytest_asyncio.fixture
async def air() -> AsyncIterator[Air]:
    """Where a test's ears and hand-driven terminals come from."""
    made = Air()
    yield made
    await made.silence()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the gateways have said."""
    report = yield
    if report.failed:
        stages = {name: value for name, value in getattr(item, "funcargs", {}).items() if isinstance(value, Stage)}
        report.sections += [(f"log of {name}", value.log_tail()) for name, value in stages.items()]
    return report
