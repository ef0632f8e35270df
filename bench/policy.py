"""The policy that every subject has to enforce: 20 routes, 10 scopes, 1,000 keys with limits.

Everything follows from fixed seeds, so that two runs ask the same of everybody.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from gateway.domain.key_format import BASE62, KeyFormat

PEPPER: Final = hashlib.sha256(b"tollhouse bench pepper").hexdigest()
"""A pepper is 32 bytes at least; as text it also fits into a configuration file."""

FORMAT: Final = KeyFormat(name="bench", prefix="bench", environments=("live",))
RESOURCES: Final = ("jobs", "candidates", "interviews", "offers", "reports")
KEYS: Final = 1000
LOAD_KEY_EVERY: Final = 10

WIDE: Final = 10_000_000
"""Requests per minute that no load reaches: the limit is counted, never felt."""

NARROW: Final = 20
"""Requests per minute of the one key that has to be refused."""

LOAD_PATHS: Final = (
    "/api/v1/jobs",
    "/api/v1/jobs/84213",
    "/api/v1/jobs/117?expand=employer",
    "/api/v1/candidates",
    "/api/v1/candidates/5521",
    "/api/v1/candidates/77?fields=name,stage",
    "/api/v1/interviews/12",
    "/api/v1/interviews?day=monday",
    "/api/v1/offers",
    "/api/v1/offers/4",
    "/api/v1/reports/weekly",
    "/api/v1/reports?page=2",
)
"""What the load asks for: twelve targets over all ten reading routes."""

BODY_BYTES: Final = 1024
"""What the upstream answers with."""

BIG_PATH: Final = "/api/v1/reports/big"
BIG_BYTES: Final = 100 * 1024
"""... but for this path."""

POST_PATH: Final = "/api/v1/jobs"
POST_BYTES: Final = 10 * 1024

CHECKED_PATH: Final = "/api/v1/offers/checked"
WHOLE_FIELD: Final = "X-Body-Whole"
"""A PUT to this path is answered with this field if its body arrived as it was sent: `POST_BYTES` times `x`."""


@dataclass(frozen=True, slots=True)
class Route:
    """One route; `path` ends with `{id}` when its last segment varies."""

    name: str
    method: str
    path: str
    scope: str

    @property
    def example(self) -> str:
        """Return a path of this route."""
        return self.path.replace("{id}", "17")


@dataclass(frozen=True, slots=True)
class Key:
    """One key; `limit` is its requests per minute and its burst."""

    name: str
    token: str
    scopes: tuple[str, ...]
    limit: int

    @property
    def digest(self) -> str:
        """Return the stored form of the token: HMAC-SHA256 under the pepper, hexadecimal."""
        return hmac.digest(PEPPER.encode(), self.token.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Policy:
    """Routes and keys, with the keys that play a part in the checks."""

    routes: tuple[Route, ...]
    keys: tuple[Key, ...]

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return every scope that a route requires."""
        return tuple(sorted({route.scope for route in self.routes}))

    @property
    def load_keys(self) -> tuple[Key, ...]:
        """Return the keys of the load: every scope, wide limit."""
        return self.keys[::LOAD_KEY_EVERY]

    @property
    def reader(self) -> Key:
        """Return the key that may read but not write."""
        return self.keys[-2]

    @property
    def limited(self) -> Key:
        """Return the key with the narrow limit."""
        return self.keys[-1]


def make_policy() -> Policy:
    """Return the policy."""
    routes = tuple(route for resource in RESOURCES for route in _routes(resource))
    scopes = sorted({route.scope for route in routes})
    return Policy(routes, tuple(_key(n, scopes) for n in range(KEYS)))


def mint(seed: str) -> str:
    """Return a well-formed token that depends only on `seed`."""
    number = int.from_bytes(hashlib.sha512(seed.encode()).digest(), "big")
    letters = "".join(BASE62[number // 62**n % 62] for n in range(FORMAT.random_length))
    return FORMAT.mint("live", letters)


def damaged(token: str) -> str:
    """Return the token with a typing error that its checksum shows."""
    return token[:-1] + ("0" if token[-1] != "0" else "1")


def _routes(resource: str) -> tuple[Route, ...]:
    whole, item = f"/api/v1/{resource}", f"/api/v1/{resource}/{{id}}"
    read, write = f"{resource}:read", f"{resource}:write"
    return (
        Route(f"{resource}.list", "GET", whole, read),
        Route(f"{resource}.show", "GET", item, read),
        Route(f"{resource}.create", "POST", whole, write),
        Route(f"{resource}.change", "PUT", item, write),
    )


def _key(n: int, scopes: list[str]) -> Key:
    name = f"bench-{n:04d}"
    if n == KEYS - 1:
        return Key(name, mint(name), tuple(scopes), NARROW)
    if n == KEYS - 2:
        return Key(name, mint(name), tuple(s for s in scopes if s.endswith(":read")), WIDE)
    if n % LOAD_KEY_EVERY == 0:
        return Key(name, mint(name), tuple(scopes), WIDE)
    bits = hashlib.sha256(name.encode()).digest()
    return Key(
        name, mint(name), tuple(s for s, bit in zip(scopes, bits, strict=False) if bit % 4), WIDE
    )
