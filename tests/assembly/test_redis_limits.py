"""Limits in Redis, put together: what is logged, what follows a reload, and what a start needs."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from gateway.assembly.counting import Elsewhere
from gateway.assembly.redis_limits import RedisLimits, opened
from gateway.config import model
from gateway.control.clock import SystemClock
from gateway.domain.limits import Grant
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.redis.leased import LeasedLimiter
from gateway.ports import LimiterUnavailable
from gateway.telemetry.metrics import Metrics
from tests.config.sample import loaded
from tests.contracts.limiter import claim, rate
from tests.limiters.redis.nodes import until
from tests.redis_server import Server, own_server
from tests.telemetry.scrape import value

pytestmark = pytest.mark.pure  # what is optional is not compiled


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with own_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


def configured(folder: Path, redis: Server, *more: str, deny: bool = False) -> model.Config:
    settings = [f"url: {redis.url}", "retry: 20ms", f"prefix: t{token_hex(4)}", *more]
    policy = "on_failure: {limits: deny}\n" if deny else ""
    return loaded(folder, f"limits: {{{', '.join(settings)}}}\n{policy}")


@asynccontextmanager
async def running(
    config: model.Config, folder: Path, metrics: Metrics | None = None
) -> AsyncIterator[RedisLimits]:
    clock = SystemClock()
    elsewhere = Elsewhere(config, folder / "config.yaml", clock)
    metrics = metrics or Metrics(version="0", has_process=False)
    async with (
        asyncio.TaskGroup() as tasks,
        opened(elsewhere, MemoryLimiter(clock), metrics, tasks) as limits,
    ):
        yield limits


async def drawn(limits: RedisLimits) -> Grant:
    grant = limits.limiter.acquire((claim(rate(burst=10)),))
    return grant if isinstance(grant, Grant) else await grant


async def test_each_change_is_logged_once_with_what_it_means(
    tmp_path: Path, redis: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(configured(tmp_path, redis, "local_share: 0.25"), tmp_path) as limits:
        assert not (await drawn(limits)).is_degraded
        redis.kill()
        await until(lambda: not limits.server.is_up)
        for _ in range(20):
            await drawn(limits)
        redis.start()
        await until(lambda: limits.server.is_up)
    place = f"127.0.0.1:{redis.port}"
    first, away, back = (record.getMessage() for record in caplog.records)
    assert first == f"limits are counted in Redis at {place}"
    assert away.startswith(f"Redis at {place} does not count: ")
    assert away.endswith("until it does, this gateway lets in 25% of each limit by itself")
    assert back.startswith(f"limits are counted in Redis at {place} again, after ")


async def test_a_start_without_redis_is_a_start(
    tmp_path: Path, redis: Server, caplog: pytest.LogCaptureFixture
) -> None:
    redis.kill()
    metrics = Metrics(version="0", has_process=False)
    async with running(configured(tmp_path, redis, deny=True), tmp_path, metrics) as limits:
        with pytest.raises(LimiterUnavailable):
            await drawn(limits)
        assert value(metrics, "limiter_up") == 0
        assert "answered 503" in caplog.text
        redis.start()
        await until(lambda: limits.server.is_up)
        assert value(metrics, "limiter_up") == 1
        assert not (await drawn(limits)).is_degraded


async def test_what_is_hot_follows_a_reload(tmp_path: Path, redis: Server) -> None:
    before = configured(tmp_path, redis)
    after = before.model_copy(update={"on_failure": model.OnFailure(limits="deny")})
    async with running(before, tmp_path) as limits:
        redis.kill()
        await until(lambda: not limits.server.is_up)
        assert (await drawn(limits)).is_degraded
        limits.follow(after)
        with pytest.raises(LimiterUnavailable):
            await drawn(limits)


async def test_leases_are_tended_and_given_back_at_the_end(tmp_path: Path, redis: Server) -> None:
    config = configured(tmp_path, redis, "mode: leased", "lease: 40ms")
    async with running(config, tmp_path) as limits:
        assert isinstance(limits.limiter, LeasedLimiter)
        each = (claim(rate(limit=6000, burst=5000)),)
        for _ in range(60):
            grant = limits.limiter.acquire(each)
            if not isinstance(grant, Grant):
                await grant
        await until(lambda: redis.calls("evalsha") > 0)
        assert limits.leased is not None
        await until(lambda: not limits.leased or not limits.leased._leases)


def test_without_the_library_a_start_says_what_to_install() -> None:
    program = """
import asyncio, sys
from pathlib import Path
sys.modules["redis"] = None
from pydantic import SecretStr
from gateway.assembly.counting import Elsewhere
from gateway.assembly.errors import CannotStart
from gateway.config import model

class Config:
    limits = model.Limits(url=SecretStr("redis://h"))

async def start():
    try:
        async with Elsewhere(Config, Path("c"), None).opened(None, None, None):
            pass
    except CannotStart as error:
        print(error)

asyncio.run(start())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'tollhouse[redis]'" in done.stdout
