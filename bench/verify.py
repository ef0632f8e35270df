"""Does a subject enforce the policy? Asked with real requests before anything is measured."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from typing import Final

from bench.machine import Unusable
from bench.peers.site import EVERY_REFUSAL
from bench.policy import (
    BIG_BYTES,
    BIG_PATH,
    BODY_BYTES,
    CHECKED_PATH,
    NARROW,
    POST_BYTES,
    WHOLE_FIELD,
    Policy,
    damaged,
    mint,
)

READY_SECONDS: Final = 10.0
"""Some listen before they know their routes."""

PAIRS: Final = 200
OVERRUN: Final = 40


class Caller:
    """One keep-alive connection to a subject."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)

    def status(self, method: str, path: str, token: str = "", scheme: str = "Bearer") -> int:
        """Send one request and return its status."""
        return self.answer(method, path, token, scheme)[0]

    def answer(
        self, method: str, path: str, token: str = "", scheme: str = "Bearer", sent: bytes = b"{}"
    ) -> tuple[int, bytes, str]:
        """Send one request; return its status, its body, and what the upstream says of the body that it got."""
        headers = {"Authorization": f"{scheme} {token}"} if token else {}
        body = sent if method in {"POST", "PUT"} else None
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read(), response.getheader(WHOLE_FIELD, "")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def verify(name: str, port: int, policy: Policy, refusals: frozenset[int] = EVERY_REFUSAL) -> str:
    """Return what was seen, as `200/401/403/404/429`; raise `Unusable` when an answer is wrong.

    `refusals` are the statuses that the subject claims to answer with; what it does not claim is not asked for.
    """
    caller = Caller(port)
    try:
        _wait_until_ready(caller, policy)
        wrong = list(_wrong(caller, policy, refusals))
    except (OSError, HTTPException) as error:
        wrong = [f"it broke a connection: {error!r}"]
    finally:
        caller.close()
    if wrong:
        raise Unusable(f"{name} does not enforce the policy:\n  " + "\n  ".join(wrong[:10]))
    return "/".join(map(str, sorted({200, *refusals})))


def _wait_until_ready(caller: Caller, policy: Policy) -> None:
    deadline = time.monotonic() + READY_SECONDS
    token = policy.load_keys[0].token
    while caller.status("GET", "/api/v1/jobs", token) != 200 and time.monotonic() < deadline:
        time.sleep(0.1)


def _wrong(caller: Caller, policy: Policy, refusals: frozenset[int]) -> Iterator[str]:
    yield from _single_answers(caller, policy, refusals)
    yield from _bodies(caller, policy)
    if 403 in refusals:
        yield from _random_pairs(caller, policy)
    if 429 in refusals:
        yield from _narrow_limit(caller, policy)


def _single_answers(caller: Caller, policy: Policy, refusals: frozenset[int]) -> Iterator[str]:
    good, reader = policy.load_keys[0].token, policy.reader.token
    cases = [
        (200, "GET", "/api/v1/jobs/17?x=1", good, "Bearer"),
        (200, "POST", "/api/v1/jobs", good, "Bearer"),
        (401, "GET", "/api/v1/jobs", "", "Bearer"),
        (401, "GET", "/api/v1/jobs", mint("nobody owns this key"), "Bearer"),
        (401, "GET", "/api/v1/jobs", damaged(good), "Bearer"),
        (401, "GET", "/api/v1/jobs", "Zm9vOmJhcg==", "Basic"),
        (200, "GET", "/api/v1/candidates/5", reader, "Bearer"),
        (403, "POST", "/api/v1/candidates", reader, "Bearer"),
        (404, "GET", "/api/v2/nothing", good, "Bearer"),
    ]
    for expected, method, path, token, scheme in cases:
        if expected != 200 and expected not in refusals:
            continue
        status, body, _ = caller.answer(method, path, token, scheme)
        if status != expected:
            yield f"{method} {path}: {status} instead of {expected}"
        elif status == 200 and len(body) != BODY_BYTES:
            yield f"{method} {path}: {len(body)} bytes instead of {BODY_BYTES}"


def _bodies(caller: Caller, policy: Policy) -> Iterator[str]:
    """Check that a large answer arrives whole, and a body with the upstream."""
    token = policy.load_keys[0].token
    status, body, _ = caller.answer("GET", BIG_PATH, token)
    if (status, len(body)) != (200, BIG_BYTES):
        yield f"GET {BIG_PATH}: {status} with {len(body)} bytes instead of {BIG_BYTES}"
    status, _, arrived = caller.answer("PUT", CHECKED_PATH, token, sent=b"x" * POST_BYTES)
    if (status, arrived) != (200, "yes"):
        yield f"PUT {CHECKED_PATH}: {status}; its body did not reach the upstream as it was sent"


def _random_pairs(caller: Caller, policy: Policy) -> Iterator[str]:
    """Try random keys on random routes: the scopes decide, nothing else."""
    choose = random.Random(20)
    for _ in range(PAIRS):
        key, route = choose.choice(policy.keys[:-1]), choose.choice(policy.routes)
        expected = 200 if route.scope in key.scopes else 403
        status = caller.status(route.method, route.example, key.token)
        if status != expected:
            yield f"{key.name} on {route.name}: {status} instead of {expected}"


def _narrow_limit(caller: Caller, policy: Policy) -> Iterator[str]:
    """Overrun the narrow limit: the burst passes, and nearly nothing after it."""
    token = policy.limited.token
    seen = Counter(caller.status("GET", "/api/v1/jobs", token) for _ in range(NARROW + OVERRUN))
    if set(seen) != {200, 429} or not NARROW <= seen[200] <= NARROW + 5:
        yield f"{NARROW + OVERRUN} requests at a limit of {NARROW} a minute: {dict(seen)}"
