"""One Redis for all tests that do no harm to it; each has keys of its own."""

from __future__ import annotations

from collections.abc import Iterator
from secrets import token_hex

import pytest

from tests.clock import FakeClock
from tests.contracts.limiter import HOUR
from tests.redis_server import Server, any_server, own_server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with any_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with own_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    return f"test-{token_hex(6)}"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=HOUR)
