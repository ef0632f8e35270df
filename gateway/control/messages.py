"""What a supervisor and its workers say to each other.

Knows the shape of each message, and nothing of what is done about it. Whoever adds one adds its answer in
`assembly.worker` or `control.supervisor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config import model
from gateway.domain.keys import KeyRecord
from gateway.domain.streams import Condemn
from gateway.domain.usage import Cell, Facet


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """To a worker, first of all: be ready to serve `config` as generation `generation`. Answered with None.

    The numbers are descriptors that the worker has inherited: the listening `sockets`, one for each slot or one for
    all, those on which proxies ask `questions`, which are everybody's, the `heartbeat`, and `segments` of shared memory
    by what they hold. `seat` is its number among all who hold something there: two workers of one slot, while one
    replaces the other, have two. Until `lease_until` what is in memory may be believed; None where the store is not
    shared.
    """

    config: model.Config
    config_path: str
    generation: int
    slot: int
    slots: int
    sockets: tuple[int, ...]
    questions: tuple[int, ...]
    heartbeat: int
    segments: Mapping[str, int]
    seat: int
    log_level: str
    log_is_json: bool
    lease_until: float | None = None


@dataclass(frozen=True, slots=True)
class Serve:
    """Accept connections on these sockets and no others. Answered with None when it is so."""

    sockets: frozenset[int]


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget the keys, and the keys of the tenants, with these ids; None: all. Answered with None when it is done."""

    ids: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Prolong:
    """Believe what is in memory until then (`control.clock.uptime`). Nobody waits for it: a lease that is not prolonged
    runs out."""

    until: float


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make a configuration ready and try it. Answered with None, or declined."""

    number: int
    config: model.Config


@dataclass(frozen=True, slots=True)
class Install:
    """Put what was prepared into force, and forget what has `changed` in the store for it. Answered with None."""

    number: int
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Abandon:
    """Let go of what was prepared. Answered with None."""


@dataclass(frozen=True, slots=True)
class ListStreams:
    """Answered with a list of `StreamReport`."""


@dataclass(frozen=True, slots=True)
class CutStreams:
    """End every request that `condemn` gives a reason for. Answered with how many."""

    condemn: Condemn


@dataclass(frozen=True, slots=True)
class LookAtUpstreams:
    """Answered with a list of `ServiceOverview`."""


@dataclass(frozen=True, slots=True)
class LookAtLoad:
    """Answered with a `Load`."""


@dataclass(frozen=True, slots=True)
class ReopenLogs:
    """Go on in new log files. Nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Stop accepting, end within `seconds`, and exit. Nobody waits for it: the end of the line tells."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hurry:
    """Cut what a drain still waits for."""


@dataclass(frozen=True, slots=True)
class LookAtReadings:
    """Answered with what the worker tells of the metrics that are read, not counted."""


# ---- to the supervisor


@dataclass(frozen=True, slots=True)
class Used:
    """When keys were last used: id -> epoch seconds."""

    last_used: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Counted:
    """A part of what a worker has counted of requests since it last said so."""

    cells: list[Cell]
    facets: list[Facet]


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker tells of the metrics that are read, not counted."""

    readings: Mapping[str, Mapping[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Rekey:
    """A key was found under an old pepper: store it with `digest`, made with `pepper_id`."""

    record: KeyRecord
    digest: bytes
    pepper_id: str
