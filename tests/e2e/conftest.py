"""One gateway process in front of the demo backend, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.backend import demo_backend
from tests.e2e.process import Running, running


@pytest.fixture(scope="session")
def demo_upstream() -> Iterator[str]:
    """Run the demo backend; yields its URL."""
    with demo_backend() as address:
        yield address


@pytest.fixture(scope="session")
def gateway(demo_upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run one gateway for all tests that do not stop it."""
    folder: Path = tmp_path_factory.mktemp("gateway")
    with running(folder, demo_upstream) as process:
        process.cli("tenants", "create", "--id", "acme", "--name", "Acme")
        yield process
