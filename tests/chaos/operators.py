"""Operators who make, suspend and revoke keys all the time, and keep a journal of what was acknowledged.

What is acknowledged must be there ever after; what was answered otherwise, or not at all, may be or not.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.chaos.clients import Key, Keys
from tests.chaos.dial import Admin

_PATIENCE_SECONDS: Final = 20.0
_PAUSE_SECONDS: Final = 0.12
_KEPT: Final = 4
"""Keys of an operator that work at a time: beyond, the oldest is revoked or suspended."""

_PAGE: Final = 500


class Change(NamedTuple):
    """One change that was asked for. `status` is 0 without an answer. Times are monotonic."""

    verb: str
    gateway: int
    began: float
    ended: float
    status: int

    @property
    def is_acknowledged(self) -> bool:
        return self.status in (200, 201, 202)


@dataclass
class Journal:
    """What was asked for, and in which state each key that was acknowledged must be; None for `may be either`."""

    changes: list[Change] = field(default_factory=list)
    states: dict[str, str | None] = field(default_factory=dict)
    events: set[tuple[str, str]] = field(default_factory=set)
    ending: dict[str, float] = field(default_factory=dict)
    """When somebody began to revoke or suspend a key: from then on it may be refused."""


class Operator:
    """One operator at a gateway, whose admin API is at `where`."""

    def __init__(self, where: str, gateway: int, keys: Keys, journal: Journal) -> None:
        self._admin = Admin(where, _PATIENCE_SECONDS)
        self._gateway = gateway
        self._keys = keys
        self._journal = journal
        self._stopping = threading.Event()
        self._mine: deque[Key] = deque()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Operator:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(2 * _PATIENCE_SECONDS)
        self._admin.close()

    def _work(self) -> None:
        turn = 0
        while not self._stopping.wait(_PAUSE_SECONDS):
            turn += 1
            if len(self._mine) < _KEPT:
                self._make()
            elif turn % 3:
                self._end(self._mine.popleft(), "revoke", "revoked")
            else:
                self._end(self._mine.popleft(), "suspend", "suspended")

    def _ask(self, verb: str, path: str, body: object) -> tuple[int, Any]:
        began = time.monotonic()
        status, answer = self._admin.ask("POST", path, body)
        change = Change(verb, self._gateway, began, time.monotonic(), status)
        self._journal.changes.append(change)
        return status, answer

    def _make(self) -> None:
        status, answer = self._ask("create", "/keys", a_key("unlimited"))
        if status == 201:
            key = Key(answer["key"]["key_id"], answer["secret"])
            self._journal.states[key.key_id] = "active"
            self._journal.events.add(("key.created", key.key_id))
            self._keys.fresh.append(key)
            self._mine.append(key)

    def _end(self, key: Key, verb: str, state: str) -> None:
        self._journal.ending[key.key_id] = time.monotonic()
        if key in self._keys.fresh:
            self._keys.fresh.remove(key)
        status, _ = self._ask(verb, f"/keys/{key.key_id}:{verb}", {"reason": "chaos"})
        if status not in (200, 202):
            self._journal.states[key.key_id] = None
            return
        self._journal.states[key.key_id] = state
        self._journal.events.add((f"key.{state}", key.key_id))
        # 202 says that somebody may not have heard of it yet: nothing is promised about that moment.
        if status == 200 and state == "revoked":
            self._keys.revoked.append(Key(key.key_id, key.secret, time.monotonic()))


def a_key(plan: str) -> dict[str, object]:
    """Return the wish for a key that may do everything."""
    wish = {"tenant_id": "acme", "name": "chaos", "environment": "live", "scopes": ["*"]}
    return {**wish, "plan": plan}


def lost(admin: Admin, journal: Journal) -> list[str]:
    """Return what was acknowledged and is not there: states of keys, records of the audit trail, its soundness."""
    missing = []
    for key_id, state in journal.states.items():
        status, found = admin.ask("GET", f"/keys/{key_id}")
        if status != 200:
            missing.append(f"{key_id} should be {state}: {status}")
        elif state is not None and found["state"] != state:
            missing.append(f"{key_id} should be {state}: {found['state']}")
    recorded = {(record["type"], record["key_id"]) for record in trail(admin)}
    missing += [f"no record {event} of {key}" for event, key in journal.events - recorded]
    status, report = admin.ask("POST", "/audit:verify")
    if status != 200 or report["result"] != "intact":
        missing.append(f"the audit trail: {status} {report}")
    return missing


def trail(admin: Admin) -> Iterator[dict[str, Any]]:
    """Return all records about keys."""
    cursor = ""
    while True:
        page = admin.must("GET", f"/audit?type=key.*&order=oldest&limit={_PAGE}{cursor}")
        yield from page["data"]
        if not page.get("next_cursor"):
            return
        cursor = f"&cursor={page['next_cursor']}"
