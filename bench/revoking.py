"""Who revokes keys while others use them, and what each of them saw: all on one clock.

The users ask mostly with keys that are about to be revoked or have just been: with a hundred thousand keys nobody would
ever ask at the moment that counts. A request starts at the clock's reading before its first byte is written.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import aiohttp

from bench.constant_rate import content_length, percentile

WINDOW: Final = 16
"""Keys on either side of the one whose turn it is that most users ask with."""

ANY_KEY_SHARE: Final = 0.25
"""How many requests are made with any other of all keys."""

PATIENCE_SECONDS: Final = 30.0


@dataclass(slots=True)
class Turns:
    """The keys that are revoked, in their order, and whose turn it is; `others` are all keys that there are."""

    order: Sequence[int]
    others: range
    position: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def pick(self) -> int:
        """Return the number of a key to ask with."""
        if self.chance.random() < ANY_KEY_SHARE:
            return self.chance.choice(self.others)
        place = self.position + self.chance.randint(-WINDOW, WINDOW)
        return self.order[max(0, min(len(self.order) - 1, place))]

    def take(self) -> int | None:
        """Return the next key to revoke; None when all are."""
        if self.position >= len(self.order):
            return None
        self.position += 1
        return self.order[self.position - 1]


@dataclass(slots=True)
class Seen:
    """What users saw: key and start (epoch seconds) of each request, by whether it was let through."""

    passed: list[tuple[int, float]] = field(default_factory=list)
    refused: list[tuple[int, float]] = field(default_factory=list)
    broken: int = 0


@dataclass(slots=True)
class Revoked:
    """What came of revocations: from when on each was effective everywhere (epoch seconds), and seconds per call."""

    effective: dict[int, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    partial: int = 0
    """Answers with 202: somebody who is named had not acknowledged, so that nothing is promised for everywhere yet."""

    def at(self, share: float) -> float:
        """Return the milliseconds that `share` of the calls did not exceed."""
        return percentile(sorted(self.seconds), share) * 1e3


def admitted_late(seen: Seen, revoked: Revoked) -> list[tuple[int, float]]:
    """Return the requests that were let through and had started after their key's revocation was effective."""
    return [each for each in seen.passed if each[1] > revoked.effective.get(each[0], float("inf"))]


def refused_late(seen: Seen, revoked: Revoked) -> int:
    """Return how many requests started after their key's revocation was effective, and were refused."""
    never = float("inf")
    return sum(start > revoked.effective.get(key, never) for key, start in seen.refused)


class User(asyncio.Protocol):
    """One connection that asks, waits for the answer and asks again, until it is told to stop."""

    def __init__(self, raw: Callable[[int], bytes], turns: Turns, seen: Seen) -> None:
        self._raw = raw
        self._turns = turns
        self._seen = seen
        self._key = 0
        self._started = 0.0
        self._rest = b""
        self._expected = 0
        self.is_stopping = False
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        if self.is_stopping:
            self._transport.close()
            return
        self._key = self._turns.pick()
        raw = self._raw(self._key)
        self._started = time.time()
        self._transport.write(raw)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if not self._expected:
            end = self._rest.find(b"\r\n\r\n")
            if end < 0:
                return
            self._expected = end + 4 + content_length(self._rest[:end])
        if len(self._rest) < self._expected:
            return
        status = self._rest[9:12]
        self._rest, self._expected = self._rest[self._expected :], 0
        told = {b"200": self._seen.passed, b"401": self._seen.refused}.get(status)
        if told is None:
            self._seen.broken += 1
        else:
            told.append((self._key, self._started))
        self._ask()

    def connection_lost(self, _error: Exception | None) -> None:
        self._seen.broken += not self.is_stopping
        self.ended.set()


async def use(
    port: int, raw: Callable[[int], bytes], turns: Turns, connections: int, over: asyncio.Event
) -> Seen:
    """Ask over `connections` until it is `over`; return what was seen."""
    loop, seen = asyncio.get_running_loop(), Seen()
    users = []
    for _ in range(connections):
        _, user = await loop.create_connection(lambda: User(raw, turns, seen), "127.0.0.1", port)
        users.append(user)
    await over.wait()
    for user in users:
        user.is_stopping = True
    async with asyncio.timeout(PATIENCE_SECONDS):
        for user in users:
            await user.ended.wait()
    return seen


async def revoke(
    admins: Sequence[Path],
    name: Callable[[int], str],
    turns: Turns,
    at_once: int,
    seconds: float,
) -> Revoked:
    """Revoke the keys whose turn it is, `at_once` at a time, for `seconds`, each at any of the gateways whose admin
    sockets these are; `name` is a key's id.
    """
    revoked = Revoked()
    end = time.monotonic() + seconds
    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(admin)))
            )
            for admin in admins
        ]

        async def one_after_the_other() -> None:
            while time.monotonic() < end and (number := turns.take()) is not None:
                started = time.perf_counter()
                answer = await revoke_key(turns.chance.choice(sessions), name(number))
                revoked.seconds.append(time.perf_counter() - started)
                enforcement = answer["enforcement"]
                if enforcement["acknowledged"] == enforcement["of"]:
                    moment = datetime.fromisoformat(enforcement["effective_at"])
                    revoked.effective[number] = moment.timestamp()
                else:
                    revoked.partial += 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(one_after_the_other())
    return revoked


async def revoke_key(session: aiohttp.ClientSession, key_id: str) -> dict[str, Any]:
    """Revoke one key; return the answer. Raises `ValueError` when it was not revoked."""
    url = f"http://tollhouse/admin/v1/keys/{key_id}:revoke"
    async with session.post(url, json={"reason": "measured"}) as answer:
        body: dict[str, Any] = await answer.json()
        if answer.status not in (200, 202):
            raise ValueError(f"{key_id} was not revoked: {body}")
        return body


async def both(
    ports: Sequence[int],
    admins: Sequence[Path],
    raw: Callable[[int], bytes],
    name: Callable[[int], str],
    turns: Turns,
    *,
    connections: int,
    at_once: int,
    seconds: float,
) -> tuple[Seen, Revoked]:
    """Let users ask at all gateways, over `connections` each, while keys are revoked for `seconds`; without anybody to
    revoke (`at_once` 0) they just ask.
    """
    over = asyncio.Event()
    using = [asyncio.create_task(use(port, raw, turns, connections, over)) for port in ports]
    await asyncio.sleep(0.3)  # so that what is to be revoked is in memory
    if at_once:
        revoked = await revoke(admins, name, turns, at_once, seconds)
    else:
        revoked = Revoked()
        await asyncio.sleep(seconds)
    await asyncio.sleep(0.2)  # the last ones are asked with, too
    over.set()
    return together(await asyncio.gather(*using)), revoked


def together(parts: Sequence[Seen]) -> Seen:
    """Return what all of them saw."""
    return Seen(
        [each for part in parts for each in part.passed],
        [each for part in parts for each in part.refused],
        sum(part.broken for part in parts),
    )
