"""What callers may do under one set of routes, and what another takes from them or gives them.

Knows what a route asks of whoever uses it (a key, its environment, its scopes), in the order of `pipeline.authorize`,
and that two tables are compared by what becomes of the same requests: a route that was renamed takes nothing away, and
one that takes a part of another's requests does. Addresses are left out: they are not the caller's. It must not know
where routes or callers come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.domain.denial import Denial, Reason
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route, RouteTable
from gateway.domain.samples import samples_of

UNUSABLE: Final = "unusable"
"""The reason of a key that a configuration cannot bind: its plan or environment is not declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a route asks for. `environments` are those whose keys it takes, None for all."""

    needs_key: bool = True
    scopes: frozenset[str] = frozenset()
    environments: frozenset[str] | None = None
    barred: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a key can show: its environment, and the atoms that it is granted. `is_usable` is false for one that the
    configuration cannot bind.
    """

    environment: str
    scopes: frozenset[str]
    is_usable: bool = True


class Shift(NamedTuple):
    """Requests of the route `before` that go to the route `after`, each empty where no route takes them.

    `reason` is why they are refused on the side where they are, `missing` the scopes for want of which.
    """

    before: str
    after: str
    reason: str
    missing: tuple[str, ...] = ()


class Difference(NamedTuple):
    """What a caller loses and gains."""

    losses: tuple[Shift, ...] = ()
    gains: tuple[Shift, ...] = ()


Barred = frozenset[tuple[str, str]]
"""Pairs of an environment and the name of a route which its keys may not use."""


def need_of(route: Route, barred: Barred) -> Need:
    """Return what `route` asks for."""
    return Need(
        needs_key=route.needs_key,
        scopes=frozenset(route.scopes),
        environments=route.environments or None,
        barred=frozenset(environment for environment, name in barred if name == route.name),
    )


def refusal(need: Need | None, caller: Caller | None) -> str:
    """Return why `caller` (None: one without a key) may not do what needs `need` (None: no route); empty if it may."""
    if need is None:
        return Reason.NO_ROUTE.value
    if not need.needs_key:
        return ""
    if caller is None:
        return Reason.MISSING_CREDENTIALS.value
    if not caller.is_usable:
        return UNUSABLE
    environments = need.environments
    if environments is not None and caller.environment not in environments:
        return Reason.ENV_MISMATCH.value
    if caller.environment in need.barred:
        return Reason.ENV_MISMATCH.value
    return "" if need.scopes <= caller.scopes else Reason.INSUFFICIENT_SCOPE.value


class Crossing:
    """From one table of routes to another: what becomes of the same requests."""

    def __init__(
        self, before: RouteTable, barred_before: Barred, after: RouteTable, barred_after: Barred
    ) -> None:
        """Compare both. Takes some milliseconds per thousand routes."""
        old = {route.name: need_of(route, barred_before) for route in before.routes}
        new = {route.name: need_of(route, barred_after) for route in after.routes}
        self._groups: dict[tuple[Need | None, Need | None], dict[tuple[str, str], None]] = {}
        for was, becomes in _ways(before, after):
            needs = old.get(was), new.get(becomes)
            self._groups.setdefault(needs, {})[was, becomes] = None

    def compare(self, before: Caller | None, after: Caller | None) -> Difference:
        """Return what the caller, as it is `before` and `after`, loses and gains; None is one without a key."""
        losses: list[Shift] = []
        gains: list[Shift] = []
        for (old, new), names in self._groups.items():
            if old == new and before == after:
                continue
            was, becomes = refusal(old, before), refusal(new, after)
            if becomes and not was:
                missing = _missing(becomes, new, after)
                losses += [Shift(*each, becomes, missing) for each in names]
            elif was and not becomes:
                missing = _missing(was, old, before)
                gains += [Shift(*each, was, missing) for each in names]
        return Difference(tuple(sorted(losses)), tuple(sorted(gains)))


def _ways(before: RouteTable, after: RouteTable) -> Iterable[tuple[str, str]]:
    """Yield the pairs of routes, by name, that the same requests go to; empty for none."""
    for sample in samples_of((*before.routes, *after.routes)):
        yield _route_of(before, sample), _route_of(after, sample)
    # What an expression matches, it does not say: these are told apart by their names.
    old, new = _expressions(before), _expressions(after)
    for name in {**old, **new}:
        yield (name if name in old else ""), (name if name in new else "")


def _route_of(table: RouteTable, sample: RequestHead) -> str:
    match = table.match(sample)
    return "" if isinstance(match, Denial) else match.route.name


def _expressions(table: RouteTable) -> Mapping[str, None]:
    return {route.name: None for route in table.routes if route.kind == "regex"}


def _missing(reason: str, need: Need | None, caller: Caller | None) -> tuple[str, ...]:
    if need is None or caller is None or reason != Reason.INSUFFICIENT_SCOPE.value:
        return ()
    return tuple(sorted(need.scopes - caller.scopes))
