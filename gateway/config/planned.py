"""What taking another configuration would do, as values that the admin API and the command line share.

Knows which answers there are. Who works them out is in `assembly.planning`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config.differences import RouteChange, UpstreamChange
from gateway.config.reloading import Reloaded
from gateway.domain.access import Difference
from gateway.domain.limit_changes import LimitChange


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerChange:
    """A key and what it loses and gains."""

    key_id: str
    name: str
    tenant_id: str
    environment: str
    difference: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """What becomes of the keys that are in use or could be again: of `keys` that were looked at, how many lose and gain
    something, and the first of them.

    `limited` says how many keys each limit that changes is about. `unseen` says why keys were not looked at, or not all
    of them; empty when all were.
    """

    keys: int = 0
    losing: int = 0
    gaining: int = 0
    first_losing: Sequence[CallerChange] = ()
    first_gaining: Sequence[CallerChange] = ()
    limited: dict[str, int]
    unseen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan. `anyone` is what a caller without a key loses and gains."""

    reloaded: Reloaded
    routes: Sequence[RouteChange]
    upstreams: Sequence[UpstreamChange]
    limits: Sequence[LimitChange]
    anyone: Difference
    callers: Callers
