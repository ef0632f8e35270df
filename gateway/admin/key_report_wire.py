"""What the reports over keys answer, as JSON.

Knows names and types on the wire, and how a proposal is spelled so that `:rotate` takes it as it is. It must not know
where the figures come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from gateway.admin.shapes import View
from gateway.admin.wire import Names, instant
from gateway.domain.hygiene import Finding, Flaw
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.least_privilege import (
    Granted,
    RouteUse,
    by_hour,
    privileges,
    tighter_addresses,
    tighter_scopes,
)
from gateway.domain.usage import FacetRow


class FlawView(View):
    """One flaw: `since` when, and `count` how much of it, where that means something."""

    finding: Flaw
    since: str | None
    count: int | None


class HygieneView(View):
    """A key with its flaws."""

    key_id: str
    tenant_id: str
    name: str
    display: str
    environment: str
    state: KeyState
    created_at: str | None
    last_used_at: str | None
    expires_at: str | None
    findings: list[FlawView]

    @classmethod
    def of(cls, key: KeyRecord, state: KeyState, found: Iterable[Finding]) -> Self:
        """Show `key` with what was found."""
        return cls(
            **_named(key),
            display=key.display,
            state=state,
            created_at=instant(key.created_at),
            last_used_at=instant(key.last_used_at),
            expires_at=instant(key.expires_at),
            findings=[
                FlawView(finding=each.flaw, since=instant(each.since), count=each.count)
                for each in found
            ],
        )


class ScopesView(View):
    """Scopes of a key: as it was given them, the atoms that these grant, and which were used."""

    names: Names
    granted: Names
    used: Names
    unused: Names


class RouteUseView(View):
    """How a key used a route; `scopes` is null where the configuration has no such route any more."""

    route: str
    requests: int
    denied: int
    scopes: Names | None


class NetworkUseView(View):
    """From where a key was used."""

    network: str
    requests: int
    last_at: str | None


class ProposalView(View):
    """A tighter key: what is not null may be sent to `:rotate` as it stands."""

    scopes: Names | None
    ip_allowlist: Names | None


class LeastPrivilegeView(View):
    """What a key may do beside what it did since then; `proposal` is null where nothing tighter is known to do.

    `networks` are the most used ones, and all of them unless `has_more_networks`; `hours_utc` are the requests by hour
    of the day, null where only days are kept of so long ago.
    """

    key_id: str
    tenant_id: str
    name: str
    environment: str
    since: str | None
    requests: int
    scopes: ScopesView
    routes: list[RouteUseView]
    networks: list[NetworkUseView]
    has_more_networks: bool
    ip_allowlist: Names
    hours_utc: tuple[int, ...] | None
    proposal: ProposalView | None

    @classmethod
    def of(
        cls,
        key: KeyRecord,
        *,
        since: float,
        routes: Sequence[RouteUse],
        hours: Mapping[int, int] | None,
        networks: Sequence[FacetRow],
        networks_max: int,
        granted: Granted,
    ) -> Self:
        """Show how `key` was used; of more than `networks_max` networks no list is proposed."""
        found = privileges(key.scopes, routes, granted)
        listed, has_more = networks[:networks_max], len(networks) > networks_max
        scopes = tighter_scopes(key.scopes, found, granted)
        addresses = (
            None
            if has_more
            else tighter_addresses(key.ip_allowlist, [row.value for row in networks])
        )
        is_tighter = scopes is not None or addresses is not None
        return cls(
            **_named(key),
            since=instant(round(since)),
            requests=sum(each.requests for each in routes),
            scopes=ScopesView(
                names=key.scopes,
                granted=tuple(sorted(found.granted)),
                used=tuple(sorted(found.used)),
                unused=tuple(sorted(found.unused)),
            ),
            routes=[
                RouteUseView(
                    route=each.route,
                    requests=each.requests,
                    denied=each.denied,
                    scopes=each.scopes,
                )
                for each in sorted(routes, key=lambda each: (-each.requests, each.route))
            ],
            networks=[
                NetworkUseView(
                    network=row.value, requests=row.requests, last_at=instant(round(row.last_at))
                )
                for row in listed
            ],
            has_more_networks=has_more,
            ip_allowlist=key.ip_allowlist,
            hours_utc=None if hours is None else by_hour(hours),
            proposal=ProposalView(scopes=scopes, ip_allowlist=addresses) if is_tighter else None,
        )


def _named(key: KeyRecord) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "tenant_id": key.tenant_id,
        "name": key.name,
        "environment": key.environment,
    }
