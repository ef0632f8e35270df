"""What a key may do beside what it does: scopes, addresses and hours; and the tighter key that would do as well.

Knows how used routes become used scopes, and when less can be proposed. A proposal never holds more than the key has,
and leaves alone what cannot be told for sure. It must not know where usage is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.domain.networks import Allowlist

PROPOSED_NETWORKS_MAX: Final = 32
"""A longer list is not kept by anybody; such a key is not for addresses."""

HOURS: Final = 24

Granted = Callable[[Iterable[str]], frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteUse:
    """How often a key was let through and refused on a route; `scopes` None where the config has no such route."""

    route: str
    requests: int
    denied: int
    scopes: tuple[str, ...] | None

    @property
    def is_used(self) -> bool:
        """Tell whether any request got past the checks."""
        return self.requests > self.denied


@dataclass(frozen=True, slots=True, kw_only=True)
class Privileges:
    """Atoms that a key has and those that it used; not `is_certain` for a key that did nothing, or something on a route
    that left the config meanwhile.
    """

    granted: frozenset[str]
    used: frozenset[str]
    is_certain: bool

    @property
    def unused(self) -> frozenset[str]:
        """What could be taken away."""
        return self.granted - self.used


def privileges(names: Sequence[str], routes: Collection[RouteUse], granted: Granted) -> Privileges:
    """Return what a key with the scopes `names` may do, and did on `routes`."""
    has, used = granted(names), [each for each in routes if each.is_used]
    done = {scope for each in used for scope in each.scopes or ()}
    is_certain = bool(used) and all(each.scopes is not None for each in used)
    return Privileges(granted=has, used=has & done, is_certain=is_certain)


def tighter_scopes(
    names: Sequence[str], found: Privileges, granted: Granted
) -> tuple[str, ...] | None:
    """Return fewer scopes that would have done; None when there are none, or nobody can tell.

    Names of which everything was used stay as they are; of others the used atoms are named.
    """
    if not (found.is_certain and found.unused):
        return None
    kept = [name for name in names if (atoms := granted((name,))) and atoms <= found.used]
    rest = found.used - granted(kept)
    return (*kept, *sorted(rest))


def tighter_addresses(entries: Sequence[str], networks: Sequence[str]) -> tuple[str, ...] | None:
    """Return a list that admits the `networks` a key was used from, and less than `entries`; None if there is none.

    Of a list that the key has already, the entries that were used are kept: a network may be wider than an address.
    """
    try:
        used = [(network, Allowlist((network,))) for network in networks]
    except ValueError:
        return None  # some network is not known by address
    if not used:
        return None
    if not entries:
        return tuple(sorted(networks)) if len(networks) <= PROPOSED_NETWORKS_MAX else None
    kept = tuple(
        entry
        for entry in entries
        if any(Allowlist((entry,)).covers(network) or seen.covers(entry) for network, seen in used)
    )
    return kept if kept and len(kept) < len(entries) else None


def by_hour(requests: Mapping[int, int]) -> tuple[int, ...]:
    """Return the requests by hour of the day (UTC), of requests by the epoch second in which their hour began."""
    hours = [0] * HOURS
    for start, count in requests.items():
        hours[start // 3_600 % HOURS] += count
    return tuple(hours)
