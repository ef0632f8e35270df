"""Who serves requests, as the control plane sees it: this process itself, or workers.

Knows the acts that the two planes have in common and nothing of how they are carried out. `Crew` is the seam: a gateway
with one process implements it by plain calls, one with workers over a channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from gateway.config import model
from gateway.ports import Streams
from gateway.upstreams.overview import ServiceOverview


class Acknowledged(NamedTuple):
    """How many of those who serve did what they were told; `silent` did not, and could not be ended either."""

    acknowledged: int
    of: int
    silent: tuple[str, ...] = ()


class WorkerState(StrEnum):
    """Where a worker is in its life; what is gone is not shown."""

    STARTING = "starting"
    SERVING = "serving"
    STUCK = "stuck"  # its event loop does not turn: it is about to be killed
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """One worker. `slot` counts from 0, `restarts` are those of its slot; age in seconds."""

    slot: int
    pid: int
    state: WorkerState
    generation: int
    connections: int
    in_flight: int
    restarts: int
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """What a process that serves has to do at the moment."""

    connections: int
    in_flight: int


class Crew(Protocol):
    """Whoever serves requests. What was told to it before holds for whoever joins it later, too."""

    streams: Streams

    async def forget(self, ids: Iterable[str]) -> Acknowledged:
        """Let everybody forget the keys, and the keys of the tenants, with these ids.

        When it returns, no request begins any more under what the store held before. Takes at most
        `supervision.acknowledge_timeout` and five seconds for the death of whoever does not answer; never raises.
        """
        ...

    async def forget_all(self) -> Acknowledged:
        """Let everybody forget all keys, as `forget` does."""
        ...

    @property
    def silent(self) -> Sequence[str]:
        """Name those who did not do what they were told and could not be ended; they are asked until it is over."""
        ...

    def prolong(self, until: float) -> None:
        """Let everybody believe what is in memory until then, in the order of what else they are told."""
        ...

    async def prepare(self, number: int, config: model.Config) -> None:
        """Let everybody make `config` ready as generation `number`. Raises `ReloadRefused` when anybody cannot.

        `install` or `abandon` must follow.
        """
        ...

    async def install(self, number: int, config: model.Config, changed: Sequence[str]) -> None:
        """Put what was prepared into force everywhere, and forget what the store has `changed` for it."""
        ...

    async def abandon(self) -> None:
        """Let go of what was prepared; harmless when nothing was."""
        ...

    async def overview(self) -> Sequence[ServiceOverview]:
        """Return the state of the upstreams, as all see them together."""
        ...

    async def report(self) -> Sequence[WorkerReport]:
        """Return who serves."""
        ...

    async def restart(self) -> int:
        """Replace everybody, one after the other, without failing a request; return how many.

        Raises `Conflict` where nobody can be replaced.
        """
        ...

    def reopen_logs(self) -> None:
        """Let everybody go on in new log files after log rotation."""
        ...

    @property
    def obstacles(self) -> Sequence[str]:
        """Say what keeps requests from being served; nothing when they are."""
        ...

    async def drain(self, seconds: float) -> None:
        """Let everybody stop accepting and end within `seconds`, at once when hurried; nobody joins any more."""
        ...

    def hurry(self) -> None:
        """Cut what a drain still waits for."""
        ...
