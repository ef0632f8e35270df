"""The loads: which requests, over how many connections, and which answers are right.

`GET1K` is the load of the table that everybody looks at; the floods are requests that a gateway refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.policy import BIG_PATH, LOAD_PATHS, POST_BYTES, POST_PATH, Policy, damaged, mint

UNKNOWN_KEYS: Final = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a load; without a token it has no Authorization."""

    method: str
    path: str
    token: str = ""
    body_bytes: int = 0

    @property
    def line(self) -> str:
        """Return the line from which `load.lua` makes it."""
        return f"{self.method}\t{self.path}\t{self.token}\t{self.body_bytes}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One load: `status` is what every request of it must be answered with."""

    name: str
    title: str
    requests: tuple[Request, ...]
    connections: int = 64
    status: int = 200

    @property
    def is_flood(self) -> bool:
        """Tell whether the requests are refused."""
        return self.status >= 400

    def failures(self, requests: int, refused: int, broken: int) -> int:
        """Return how many answers were wrong, of what wrk counts: 400 and more, and none at all."""
        # A limit refills slowly during the flood, so one refusal in a hundred may be missing.
        passed = requests - refused
        wrong = max(0, passed - requests // 100) if self.is_flood else refused
        return wrong + broken


def get1k(policy: Policy, connections: int = 64) -> Work:
    """Return small answers to 100 keys on 12 targets."""
    return Work(
        name="get1k" if connections == 64 else f"get1k-{connections}",
        title=f"GET of 1 KiB, {connections:,} connections",
        requests=tuple(_rotation(policy)),
        connections=connections,
    )


def get100k(policy: Policy) -> Work:
    """Return large answers."""
    requests = tuple(Request("GET", BIG_PATH, key.token) for key in policy.load_keys)
    return Work(name="get100k", title="GET of 100 KiB, 64 connections", requests=requests)


def post10k(policy: Policy) -> Work:
    """Return requests with a body."""
    requests = tuple(Request("POST", POST_PATH, key.token, POST_BYTES) for key in policy.load_keys)
    return Work(name="post10k", title="POST of 10 KiB, 64 connections", requests=requests)


def floods(policy: Policy) -> tuple[Work, ...]:
    """Return what a gateway refuses, by why."""
    good, jobs = policy.load_keys, "/api/v1/jobs"
    reader, limited = policy.reader.token, policy.limited.token
    return (
        _flood("no key", 401, (Request("GET", path) for path in LOAD_PATHS)),
        _flood("bad checksum", 401, (Request("GET", jobs, damaged(k.token)) for k in good)),
        _flood(
            "unknown key", 401, (Request("GET", jobs, mint(f"?{n}")) for n in range(UNKNOWN_KEYS))
        ),
        _flood("no scope", 403, [Request("POST", "/api/v1/candidates", reader)]),
        _flood("over the limit", 429, [Request("GET", jobs, limited)]),
        _flood("no route", 404, (Request("GET", "/api/v2/nothing", k.token) for k in good)),
    )


def _flood(why: str, status: int, requests: Iterator[Request] | list[Request]) -> Work:
    name = f"{status}-{why.replace(' ', '-')}"
    return Work(name=name, title=f"{status}, {why}", requests=tuple(requests), status=status)


def _rotation(policy: Policy) -> Iterator[Request]:
    tokens = [key.token for key in policy.load_keys]
    for n in range(len(LOAD_PATHS) * len(tokens)):
        yield Request("GET", LOAD_PATHS[n % len(LOAD_PATHS)], tokens[n % len(tokens)])
