"""One gateway and one browser for all tests of this folder; each test visits in a profile of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.dashboard.stage import Stage, staged
from tests.dashboard.visit import WAIT_MILLISECONDS, Visit, chromium
from tests.e2e.conftest import demo_upstream

__all__ = ["demo_upstream"]

Visiting = Callable[..., Visit]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=WAIT_MILLISECONDS)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def stage(
    browser: Browser, demo_upstream: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("stage"), demo_upstream) as stage:
        yield stage


@pytest.fixture
def visiting(browser: Browser, stage: Stage) -> Iterator[Visiting]:
    """Return what begins a visit; at the end, every visit has met nothing that it should not have."""
    visits: list[Visit] = []

    def begin(**options: Any) -> Visit:
        visit = Visit(browser.new_context(**options), stage.admin)
        visit.expected |= stage.missing
        visits.append(visit)
        return visit

    yield begin
    for visit in visits:
        visit.require_clean()
        visit.context.close()


@pytest.fixture
def visit(visiting: Visiting) -> Visit:
    return visiting()
