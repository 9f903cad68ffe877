"""Fixtures that every test may ask for: real brokers.

``broker`` is shared by the whole run: ask it for ``new_terminals`` and leave it running. ``own_broker`` belongs to one test,
which may kill and restart it. The broker's log is shown with a test that fails.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.harness.broker import Broker

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_LOG_STARTS = pytest.StashKey[dict[str, int]]()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The run's common broker; not to be killed."""
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker for this test alone."""
    with Broker(tmp_path / "broker") as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the brokers have said during the test."""
    report = yield
    brokers = {name: value for name, value in getattr(item, "funcargs", {}).items() if isinstance(value, Broker)}
    if call.when == "setup":
        item.stash[_LOG_STARTS] = {name: broker.log.stat().st_size for name, broker in brokers.items()}
    if report.failed:
        starts = item.stash.get(_LOG_STARTS, {})
        report.sections += [(f"log of {name}", broker.log_tail(starts.get(name, 0))) for name, broker in brokers.items()]
    return report
