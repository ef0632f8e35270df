"""Does a subject enforce the policy? Asked with real requests before anything is measured."""

from __future__ import annotations

import random
from collections import Counter
from http.client import HTTPConnection
from typing import Final

from bench.machine import Unusable
from bench.policy import NARROW, Policy, mint

PAIRS: Final = 200
OVERRUN: Final = 40
BODY_BYTES: Final = 1024
"""What the upstream answers with."""


class Caller:
    """One keep-alive connection to a subject."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)

    def status(self, method: str, path: str, token: str = "", scheme: str = "Bearer") -> int:
        """Send one request and return its status."""
        return self.answer(method, path, token, scheme)[0]

    def answer(
        self, method: str, path: str, token: str = "", scheme: str = "Bearer"
    ) -> tuple[int, bytes]:
        """Send one request and return its status and body."""
        headers = {"Authorization": f"{scheme} {token}"} if token else {}
        body = b"{}" if method in {"POST", "PUT"} else None
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def verify(name: str, port: int, policy: Policy) -> str:
    """Return what was seen, as `200/401/403/404/429`; raise `Unusable` when an answer is wrong."""
    caller = Caller(port)
    try:
        wrong = [
            *_single_answers(caller, policy),
            *_random_pairs(caller, policy),
            *_narrow_limit(caller, policy),
        ]
    finally:
        caller.close()
    if wrong:
        raise Unusable(f"{name} does not enforce the policy:\n  " + "\n  ".join(wrong[:10]))
    return "200/401/403/404/429"


def verify_passes(name: str, port: int, policy: Policy) -> str:
    """Check a proxy without a policy: every request gets through."""
    caller = Caller(port)
    status, body = caller.answer("GET", "/api/v1/jobs/17?x=1", policy.load_keys[0].token)
    caller.close()
    if (status, len(body)) != (200, BODY_BYTES):
        raise Unusable(f"{name} answers {status} with {len(body)} bytes instead of the upstream's")
    return "none"


def _single_answers(caller: Caller, policy: Policy) -> list[str]:
    good, reader = policy.load_keys[0].token, policy.reader.token
    unknown = mint("nobody owns this key")
    cases = [
        (200, "GET", "/api/v1/jobs/17?x=1", good, "Bearer"),
        (200, "POST", "/api/v1/jobs", good, "Bearer"),
        (401, "GET", "/api/v1/jobs", "", "Bearer"),
        (401, "GET", "/api/v1/jobs", unknown, "Bearer"),
        (401, "GET", "/api/v1/jobs", good[:-1] + ("0" if good[-1] != "0" else "1"), "Bearer"),
        (401, "GET", "/api/v1/jobs", "Zm9vOmJhcg==", "Basic"),
        (200, "GET", "/api/v1/candidates/5", reader, "Bearer"),
        (403, "POST", "/api/v1/candidates", reader, "Bearer"),
        (404, "GET", "/api/v2/nothing", good, "Bearer"),
    ]
    wrong = []
    for expected, method, path, token, scheme in cases:
        status, body = caller.answer(method, path, token, scheme)
        if status != expected:
            wrong.append(f"{method} {path}: {status} instead of {expected}")
        elif status == 200 and len(body) != BODY_BYTES:
            wrong.append(f"{method} {path}: {len(body)} bytes instead of {BODY_BYTES}")
    return wrong


def _random_pairs(caller: Caller, policy: Policy) -> list[str]:
    """Try random keys on random routes: the scopes decide, nothing else."""
    choose = random.Random(20)
    wrong = []
    for _ in range(PAIRS):
        key, route = choose.choice(policy.keys[:-1]), choose.choice(policy.routes)
        expected = 200 if route.scope in key.scopes else 403
        status = caller.status(route.method, route.example, key.token)
        if status != expected:
            wrong.append(f"{key.name} on {route.name}: {status} instead of {expected}")
    return wrong


def _narrow_limit(caller: Caller, policy: Policy) -> list[str]:
    """Overrun the narrow limit: the burst passes, and nearly nothing after it."""
    token = policy.limited.token
    seen = Counter(caller.status("GET", "/api/v1/jobs", token) for _ in range(NARROW + OVERRUN))
    if set(seen) == {200, 429} and NARROW <= seen[200] <= NARROW + 5:
        return []
    return [f"{NARROW + OVERRUN} requests at a limit of {NARROW} a minute: {dict(seen)}"]
