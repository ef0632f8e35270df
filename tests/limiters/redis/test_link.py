"""One connection: deadlines, what a broken one costs, and what is asked of a new one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.config.model import Limits
from gateway.limiters.redis.calls import Awaited, asked, command
from gateway.limiters.redis.dial import Dialer
from gateway.limiters.redis.link import PENDING_MAX, Link
from gateway.ports import LimiterUnavailable
from tests.limiters.redis.nodes import until
from tests.redis_server import Server


class Held:
    """A link to a server, with a greeting that a test may spoil."""

    def __init__(self, server: Server, *, timeout: float = 5.0) -> None:
        self.told: list[str] = []
        self.greetings = 0
        self.refuses = ""
        section = Limits(url=SecretStr(server.url), connect_timeout=1.0)
        self.link = Link(
            Dialer(section, Path()).dial,
            timeout_seconds=lambda: timeout,
            retry_seconds=lambda: 0.02,
            greet=self._greet,
            changed=self.told.append,
        )

    async def _greet(self) -> None:
        self.greetings += 1
        if self.refuses:
            raise LimiterUnavailable(self.refuses)

    async def __aenter__(self) -> Link:
        self._tasks = asyncio.TaskGroup()
        tasks = await self._tasks.__aenter__()
        tasks.create_task(self.link.run())
        await self.link.tried()
        return self.link

    async def __aexit__(self, *_: object) -> None:
        self.link.stop()
        await self._tasks.__aexit__(None, None, None)


def get(key: str = "nothing") -> Awaited:
    return asked(b"GET", key.encode())


async def test_answers_come_in_the_order_of_calls(redis: Server, prefix: str) -> None:
    async with Held(redis) as link:
        calls = [asked(b"INCR", f"{prefix}:n".encode()) for _ in range(100)]
        for call in calls:
            link.send(call)
        assert [await call.done for call in calls] == list(range(1, 101))
        redis.client.delete(f"{prefix}:n")


async def test_a_late_answer_fails_all_that_wait_and_is_never_taken_for_another(
    own_redis: Server,
) -> None:
    own_redis.client.set("a", "1")
    own_redis.client.set("b", "2")
    held = Held(own_redis, timeout=0.1)
    async with held as link:
        own_redis.client.client_pause(400, all=True)
        late = [asyncio.ensure_future(link.ask(get("a"))) for _ in range(3)]
        found = await asyncio.gather(*late, return_exceptions=True)
        assert all(isinstance(each, LimiterUnavailable) for each in found)
        await until(lambda: link.is_up)
        assert await link.ask(get("b")) == b"2"
    assert held.greetings == 2


async def test_calls_are_refused_at_once_while_nobody_answers(own_redis: Server) -> None:
    async with Held(own_redis) as link:
        own_redis.kill()
        await until(lambda: not link.is_up)
        with pytest.raises(LimiterUnavailable, match="Redis is not reached"):
            link.send(get())


async def test_a_connection_that_ends_while_nothing_is_asked_is_noticed(own_redis: Server) -> None:
    held = Held(own_redis)
    async with held as link:
        own_redis.client.client_kill_filter(skipme=True)
        await until(lambda: held.greetings == 2 and link.is_up)


async def test_nobody_is_served_before_the_greeting_went_well(redis: Server) -> None:
    held = Held(redis)
    held.refuses = "not today"
    async with held as link:
        assert not link.is_up
        await until(lambda: held.greetings > 2)
        assert set(held.told) == {"not today"}
        held.refuses = ""
        await until(lambda: link.is_up)
        assert held.told[-1] == ""


async def test_an_error_in_the_answer_fails_its_call_with_its_reason_and_ends_the_connection(
    redis: Server, prefix: str
) -> None:
    held = Held(redis)
    async with held as link:
        call = asked(b"NONSENSE", prefix.encode())
        link.send(call)
        with pytest.raises(LimiterUnavailable, match="unknown command"):
            await call.done
        await until(lambda: held.greetings == 2 and link.is_up)


async def test_calls_that_wait_are_bounded(own_redis: Server) -> None:
    async with Held(own_redis) as link:
        own_redis.freeze()
        for _ in range(PENDING_MAX):
            link.send(command(b"PING"))
        with pytest.raises(LimiterUnavailable, match="10000 calls wait"):
            link.send(command(b"PING"))
        own_redis.thaw()


async def test_stopping_fails_what_waits(own_redis: Server) -> None:
    async with Held(own_redis) as link:
        own_redis.freeze()
        call = get()
        link.send(call)
        link.stop()
        with pytest.raises(LimiterUnavailable):
            await call.done
    own_redis.thaw()


async def test_an_answer_that_came_while_we_did_not_run_is_not_late(own_redis: Server) -> None:
    """Something keeps this process from running for longer than Redis may take."""
    held = Held(own_redis, timeout=0.1)
    async with held as link:
        call = get()
        link.send(call)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.15)  # noqa: ASYNC251 - what is to be survived
        assert await call.done is None
        assert link.is_up
    assert held.greetings == 1


async def test_a_key_that_somebody_else_wrote_fails_its_own_calls_only(
    redis: Server, prefix: str
) -> None:
    redis.client.lpush(f"{prefix}:list", "x")
    held = Held(redis)
    async with held as link:
        broken, fine = asked(b"GET", f"{prefix}:list".encode()), get()
        link.send(broken)
        link.send(fine)
        with pytest.raises(LimiterUnavailable, match="WRONGTYPE"):
            await broken.done
        assert await fine.done is None
    assert held.greetings == 1
