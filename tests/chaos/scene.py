"""One scene: real gateways under a steady load, a fault, its end, and what became of everybody.

Knows the order of things and no fault.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.clients import Ask, Clients, Kind
from tests.chaos.facts import Bounds, Facts, Times, facts_of, is_calm, is_ended, last_sign
from tests.chaos.operators import Journal, Operator, lost
from tests.chaos.place import BURST, QUOTA, RATE, Place
from tests.e2e.waiting import eventually

STEADY_SECONDS: Final = 2.0
_CALM_SECONDS: Final = 1.5
_SETTLE_SECONDS: Final = 6.0
"""How long usage and log lines of the last requests may take to be written."""

_EVER: Final = "since=2020-01-01T00:00:00Z&until=2090-01-01T00:00:00Z"
"""Also what was counted while the clock was wrong."""

Fault = Callable[[Place], AbstractContextManager[None]]
Making = Callable[[Path, str], AbstractContextManager[Place]]

EVERYBODY: Final = frozenset(Kind)
NOBODY: Final[frozenset[Kind]] = frozenset()
IN_MEMORY: Final = frozenset({Kind.KNOWN, Kind.OPEN})


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A fault, how long it is held, who must not notice it, and what the documentation allows meanwhile.

    `may_lose` says what is documented to be lost of what was acknowledged, `may_miss` what of records about requests;
    `remark` is what the table has to say besides. `settle` is how long all goes well before it breaks.
    """

    name: str
    group: str
    what: str
    place: Making
    fault: Fault
    hold: float = 4.0
    settle: float = STEADY_SECONDS
    unharmed: frozenset[Kind] = NOBODY
    bounds: Bounds = field(default_factory=Bounds)
    patience: float = 40.0
    may_lose: str = ""
    may_miss: str = ""
    remark: str = ""
    check: Callable[[Place, Facts], list[str]] = lambda _, __: []
    """Says what else is not as it should be, at the end."""


def play(scene: Scene, folder: Path, upstream: str) -> tuple[Facts, list[str]]:
    """Play a scene; return what was seen, and the promises that do not hold."""
    with scene.place(folder, upstream) as place:
        journal = Journal()
        with ExitStack() as stack:
            clients = stack.enter_context(
                Clients([node.public for node in place.nodes], place.keys)
            )
            for number, node in enumerate(place.nodes):
                operator = Operator(node.admin_place, number, place.keys, journal)
                stack.enter_context(operator)
            time.sleep(scene.settle)
            before = sum(node.resident() for node in place.nodes)
            broken = time.monotonic()
            with scene.fault(place):
                time.sleep(scene.hold)
            mended = time.monotonic()
            _wait(clients, journal, place, mended, scene.patience)
        asks = [ask for ask in clients.asks if not is_ended(ask, journal)]
        gateways = len(place.nodes)
        healthy = last_sign(asks, journal.changes, mended, gateways)
        if not is_calm(_in_order(asks), _end(clients) - _CALM_SECONDS, gateways):
            healthy = None
        times = Times(broken, mended, healthy)
        facts = facts_of(clients.asks, journal, times, QUOTA, lambda t: BURST + RATE * t)
        facts.growth_bytes = sum(node.resident() for node in place.nodes) - before
        facts.lost = _lost(place, journal)
        facts.unlogged, facts.uncounted = _records(place, clients)
        said = scene.check(place, facts)
        said += facts.broken(
            scene.bounds, scene.unharmed, may_lose=scene.may_lose, may_miss=scene.may_miss
        )
    return facts, said


def _in_order(asks: list[Ask]) -> list[Ask]:
    return sorted(asks, key=lambda ask: ask.ended)


def _end(clients: Clients) -> float:
    return max((ask.began for ask in clients.asks), default=0.0)


def _wait(clients: Clients, journal: Journal, place: Place, mended: float, seconds: float) -> None:
    """Wait until all has been well for a while, or for too long."""
    gateways = len(place.nodes)
    while (now := time.monotonic()) < mended + seconds:
        time.sleep(0.1)
        asks = _in_order([ask for ask in [*clients.asks] if not is_ended(ask, journal)])
        is_taken = last_sign((), journal.changes, mended, gateways) is not None
        if (
            now > mended + _CALM_SECONDS
            and is_taken
            and is_calm(asks, now - _CALM_SECONDS, gateways)
        ):
            return


def _lost(place: Place, journal: Journal) -> list[str]:
    found = []
    for node in place.nodes:
        admin = node.admin()
        found += lost(admin, journal)
        admin.close()
    return found


def _records(place: Place, clients: Clients) -> tuple[int, int]:
    """Return how many answers are not in the access log, and how many lines of a key are not in its usage."""
    answered = sum(ask.status != 0 for ask in clients.asks)
    key_id = place.keys.fixed[Kind.KNOWN].key_id
    admin = place.node.admin()
    found = (answered, answered)  # unless somebody can tell

    def is_whole() -> bool:
        nonlocal found
        lines = [line for node in place.nodes for line in _lines(node.running.access_log)]
        of_key = sum(line["key_id"] == key_id for line in lines)
        answer = admin.must("GET", f"/usage?interval=total&key_id={key_id}&{_EVER}")
        used = sum(row["requests"] for row in answer["data"])
        found = (max(0, answered - len(lines)), max(0, of_key - used))
        return found == (0, 0)

    with suppress(AssertionError):  # it is told what is missing
        eventually(is_whole, _SETTLE_SECONDS)
    admin.close()
    return found


def _lines(path: Path) -> list[dict[str, object]]:
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue  # the one that a kill cut off
    return lines
