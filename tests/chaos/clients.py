"""Clients that ask at a steady pace, and write down what became of each request.

Each kind of key has, at each gateway, a client of its own: one that waits for an answer holds nobody else up.
"""

from __future__ import annotations

import random
import string
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from gateway.domain.key_format import KeyFormat
from tests.chaos.dial import Asker

PATIENCE_SECONDS: Final = 12.0
"""How long a client waits for an answer: longer than a gateway lets anybody wait for its store."""


class Kind(StrEnum):
    """What a client brings."""

    KNOWN = "known"  # a key that is used all the time, without limits
    COLD = "cold"  # a valid key that was never used before: it has to be looked up
    FRESH = "fresh"  # a valid key that an operator has just made
    QUOTA = "quota"  # a key with a quota, which is asked for more than it may
    RATE = "rate"  # a key with a rate, which is asked for more than it may
    UNKNOWN = "unknown"  # a well-formed key that nobody has made
    REVOKED = "revoked"  # a key whose revocation was acknowledged
    OPEN = "open"  # no key, on a route that needs none


WELL: Final[Mapping[Kind, frozenset[int]]] = {
    Kind.KNOWN: frozenset({200}),
    Kind.COLD: frozenset({200}),
    Kind.FRESH: frozenset({200}),
    Kind.QUOTA: frozenset({200, 429}),
    Kind.RATE: frozenset({200, 429}),
    Kind.UNKNOWN: frozenset({401}),
    Kind.REVOKED: frozenset({401}),
    Kind.OPEN: frozenset({200}),
}
"""What each gets from a gateway that has all it needs."""

_PER_SECOND: Final[Mapping[Kind, float]] = {
    Kind.KNOWN: 25.0,
    Kind.COLD: 4.0,
    Kind.FRESH: 8.0,
    Kind.QUOTA: 10.0,
    Kind.RATE: 15.0,
    Kind.UNKNOWN: 5.0,
    Kind.REVOKED: 8.0,
    Kind.OPEN: 5.0,
}
_LETTERS: Final = string.ascii_letters + string.digits
_FORMAT: Final = KeyFormat(name="tollhouse", prefix="sk", environments=("live", "test"))
"""The one of the shipped configuration: what has another form is refused without a look at the store."""

_KEYED: Final = "/v1/account/profile"
_OPEN: Final = "/v1/status"


class Key(NamedTuple):
    """What is asked with. `since` is when its revocation was acknowledged."""

    key_id: str
    secret: str
    since: float = 0.0


class Ask(NamedTuple):
    """One request. `status` is 0 for one without a whole answer. Times are monotonic."""

    kind: Kind
    gateway: int
    key_id: str
    began: float
    ended: float
    status: int

    @property
    def is_well(self) -> bool:
        return self.status in WELL[self.kind]


@dataclass
class Keys:
    """The keys that clients take; operators add `fresh` and `revoked` ones. `cold` are those of each gateway."""

    fixed: dict[Kind, Key] = field(default_factory=dict)
    cold: list[deque[Key]] = field(default_factory=list)
    fresh: deque[Key] = field(default_factory=lambda: deque(maxlen=16))
    revoked: list[Key] = field(default_factory=list)

    def take(self, kind: Kind, gateway: int) -> Key | None:
        """Return the key of the next request, None if there is none at the moment."""
        if kind in self.fixed:
            return self.fixed[kind]
        if kind is Kind.OPEN:
            return Key("", "")
        if kind is Kind.UNKNOWN:
            letters = "".join(random.choices(_LETTERS, k=_FORMAT.random_length))
            return Key("", _FORMAT.mint("live", letters))
        if kind is Kind.COLD:
            return self.cold[gateway].popleft() if self.cold[gateway] else None
        some = self.fresh if kind is Kind.FRESH else self.revoked[-16:]
        try:
            return random.choice(some) if some else None
        except (IndexError, RuntimeError):  # it was changed meanwhile
            return None


class Clients:
    """All clients of some gateways, which listen at `places`. `asks` is what became of their requests."""

    def __init__(self, places: list[str], keys: Keys) -> None:
        self.asks: list[Ask] = []
        self._keys = keys
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(kind, gateway, where), daemon=True)
            for gateway, where in enumerate(places)
            for kind in Kind
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_SECONDS)

    def _ask(self, kind: Kind, gateway: int, where: str) -> None:
        asker = Asker(where, PATIENCE_SECONDS)
        path = _OPEN if kind is Kind.OPEN else _KEYED
        pause = 1 / _PER_SECOND[kind]
        # Not all at the same moment.
        due = time.monotonic() + random.random() * pause
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + pause, time.monotonic())
            key = self._keys.take(kind, gateway)
            if key is None:
                continue
            fields = {"Authorization": f"Bearer {key.secret}"} if key.secret else {}
            began = time.monotonic()
            status, _ = asker.ask("GET", path, fields)
            self.asks.append(Ask(kind, gateway, key.key_id, began, time.monotonic(), status))
        asker.close()
