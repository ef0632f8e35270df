"""What two configurations differ in, for a person who has to decide: routes, upstreams, and what opens or closes.

Knows the meaning of routes and upstreams as far as a reader of a diff does. It shows no value that may be a secret.
What callers make of it stands in `domain.access`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.config.changes import Kind, changes_of
from gateway.config.model import Config, Route, Upstream
from gateway.config.sections.target import target_parts

_ANY: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChange:
    """A route that comes, goes or changes. `requests` are its methods and path, as it is then, or was.

    `keys` are the keys of its section that differ. Scopes, environments and networks are those that it asks for, or
    lets in, now and did not before, or no more; `opens` says that it needs no key any more, `closes` that it does now.
    """

    name: str
    change: Kind
    requests: str
    keys: tuple[str, ...] = ()
    scopes_added: tuple[str, ...] = ()
    scopes_removed: tuple[str, ...] = ()
    networks_added: tuple[str, ...] = ()
    networks_removed: tuple[str, ...] = ()
    opens: bool = False
    closes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamChange:
    """An upstream that comes, goes or changes: the `keys` that differ, and the targets that do."""

    name: str
    change: Kind
    keys: tuple[str, ...] = ()
    targets_added: tuple[str, ...] = ()
    targets_removed: tuple[str, ...] = ()


def route_changes(before: Config, after: Config) -> Iterator[RouteChange]:
    """Yield the routes that differ, those that were there first."""
    old, new = _by_name(before), _by_name(after)
    for name in {**old, **new}:
        was, becomes = old.get(name), new.get(name)
        if was is None or becomes is None:
            route = was or becomes
            assert route is not None
            yield RouteChange(
                name=name,
                change="added" if was is None else "removed",
                requests=_requests(route),
                scopes_added=_scopes(becomes),
                opens=becomes is not None and becomes.auth == "none",
            )
        elif was != becomes:
            yield _route_change(was, becomes)


def upstream_changes(before: Config, after: Config) -> Iterator[UpstreamChange]:
    """Yield the upstreams that differ, those that were there first."""
    for name in {**before.upstreams, **after.upstreams}:
        was, becomes = before.upstreams.get(name), after.upstreams.get(name)
        if was == becomes:
            continue
        old, new = _targets(was), _targets(becomes)
        yield UpstreamChange(
            name=name,
            change="added" if was is None else "removed" if becomes is None else "changed",
            keys=_keys(was, becomes) if was is not None and becomes is not None else (),
            targets_added=_less(new, old),
            targets_removed=_less(old, new),
        )


def _route_change(was: Route, becomes: Route) -> RouteChange:
    old, new = _scopes(was), _scopes(becomes)
    networks_before, networks_after = _networks(was), _networks(becomes)
    return RouteChange(
        name=was.name,
        change="changed",
        requests=_requests(becomes),
        keys=_keys(was, becomes),
        scopes_added=_less(new, old),
        scopes_removed=_less(old, new),
        networks_added=_less(networks_after, networks_before),
        networks_removed=_less(networks_before, networks_after),
        opens=was.auth == "key" and becomes.auth == "none",
        closes=was.auth == "none" and becomes.auth == "key",
    )


def _keys(was: Route | Upstream, becomes: Route | Upstream) -> tuple[str, ...]:
    return tuple(change.path for change in changes_of(was, becomes))


def _scopes(route: Route | None) -> tuple[str, ...]:
    """Return the scopes that are enforced."""
    return route.scopes if route is not None and route.scopes_mode == "enforce" else ()


def _networks(route: Route) -> tuple[str, ...]:
    """Return the networks that are let in; `*` when all are."""
    section = route.ip_allowlist
    return section.allow if section.allow and section.mode == "enforce" else (_ANY,)


def _targets(upstream: Upstream | None) -> tuple[str, ...]:
    if upstream is None:
        return ()
    return tuple(target_parts(target.url).place for target in upstream.targets)


def _requests(route: Route) -> str:
    match = route.match
    hosts = f" on {', '.join(match.hosts)}" if match.hosts else ""
    path = match.path or (f"{match.prefix} and below" if match.prefix else f"~ {match.regex}")
    return f"{','.join(match.methods)} {path}{hosts}"


def _less(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in some if each not in others)


def _by_name(config: Config) -> Mapping[str, Route]:
    return {route.name: route for route in config.routes}
