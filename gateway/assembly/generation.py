"""Builds everything that one configuration means for a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.assembly import policy
from gateway.config import model
from gateway.domain.client_address import ClientAddressResolver
from gateway.domain.denial import Reason
from gateway.domain.dialects.catalog import DIALECTS
from gateway.domain.dialects.definition import Site
from gateway.domain.dialects.render import Dialect
from gateway.domain.introspection import IntrospectionView, LimitLine, render_introspection
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Grant, Quota, Rate
from gateway.domain.networks import Allowlist
from gateway.domain.passage import Border
from gateway.domain.rate_headers import RateHeaders
from gateway.listeners.peer import AddressRules
from gateway.pipeline.generation import Introspect, Voice
from gateway.ports import Clock, Upstream


def upstream_choice(
    config: model.Config, running: Mapping[str, Upstream]
) -> dict[tuple[str, str], Upstream]:
    """Return which upstream serves which name for which environment; `""` is a caller without a key."""
    choice: dict[tuple[str, str], Upstream] = {}
    for name, service in running.items():
        choice[name, ""] = service
        for environment, section in config.environments.items():
            choice[name, environment] = running[section.upstreams.get(name, name)]
    return choice


def border(config: model.Config) -> Border:
    """Return what decides which fields cross."""
    names = config.identity_headers
    identity = [names.key_id, names.lineage, names.tenant, names.scopes, names.environment]
    identity.append(names.key_tenant)
    identity += [names.certificate_subject, names.certificate_fingerprint]
    forwarded = [name for section in config.environments.values() for name in section.forward]
    return Border(
        identity_names=[name.encode("ascii") for name in (*identity, *forwarded) if name],
        identity_prefix=names.prefix.encode("ascii"),
        pseudonym=config.forwarding.via.encode("ascii"),
        forwards_authorization=names.forward_authorization,
    )


def voices(config: model.Config) -> dict[str, Voice]:
    """Return how to speak on each route, and, under `""`, where none matched."""
    common = config.dialect
    hsts = strict_transport_security(config)
    own = frozenset({b"strict-transport-security"}) if hsts else frozenset[bytes]()
    made: dict[tuple[str, tuple[str, ...]], Voice] = {}

    def voice(errors: str, rate_headers: tuple[str, ...]) -> Voice:
        known = made.get((errors, rate_headers))
        if known is None:
            headers = RateHeaders(rate_headers)
            known = Voice(
                dialect=dialect(config, errors),
                rate_headers=headers,
                overwritten=headers.names | own,
                lines=hsts,
            )
            made[errors, rate_headers] = known
        return known

    result = {"": voice(common.errors, common.rate_headers)}
    for route in config.routes:
        chosen = route.dialect
        result[route.name] = voice(
            chosen.errors or common.errors, chosen.rate_headers or common.rate_headers
        )
    return result


def strict_transport_security(config: model.Config) -> bytes:
    """Return the line that stands on every answer, or nothing.

    The setting is one of TLS, and a listener speaks either TLS or not: over plain HTTP the field must never be sent
    (RFC 6797 section 7.2).
    """
    tls = config.listeners.public.tls
    if tls is None or not tls.strict_transport_security.max_age:
        return b""
    section = tls.strict_transport_security
    directives = [b"max-age=%d" % section.max_age]
    directives += [b"includeSubDomains"] if section.include_subdomains else []
    directives += [b"preload"] if section.preload else []
    return b"Strict-Transport-Security: %b\r\n" % b"; ".join(directives)


def dialect(config: model.Config, name: str) -> Dialect:
    """Return the error dialect called `name`."""
    common = config.dialect
    site = Site(realm=common.realm, docs_url=common.docs_url, support_url=common.support_url)
    hidden = (Reason.CROSS_TENANT,) if config.tenancy.hide else ()
    return Dialect(DIALECTS[name], site, hidden=hidden)


def address_rules(config: model.Config) -> AddressRules:
    """Return how client addresses are found."""
    section = config.client_address
    trusted = Allowlist(section.trusted_proxies) if section.trusted_proxies else None
    return AddressRules(
        resolver=ClientAddressResolver(trusted, section.header),
        ipv6_prefix=section.ipv6_prefix,
        sends_forwarded=config.forwarding.forwarded,
        may_rename_host=not any(route.match.hosts for route in config.routes),
        traces_from=config.forwarding.traces_from,
    )


def introspection(config: model.Config, clock: Clock) -> Introspect:
    """Return what makes the body of an introspection answer."""

    def render(key: BoundKey, grant: Grant | None, dialect_name: str) -> bytes:
        lines = tuple(_limit_lines(grant))
        first = next(iter(lines), None)
        record = key.record
        view = IntrospectionView(
            tenant_id=key.tenant.tenant_id,
            company_name=key.tenant.name,
            plan=next(iter(policy.plan_names(config, record, key.owner)), ""),
            permissions=tuple(sorted(key.scopes)),
            key_id=record.key_id,
            key_name=record.name,
            environment=record.environment,
            expires_at=record.expires_at,
            limits=lines,
            current_usage=first.limit - first.remaining if first is not None else 0,
            answered_at=clock.now(),
        )
        return render_introspection(dialect_name, view)

    return render


def _limit_lines(grant: Grant | None) -> Iterator[LimitLine]:
    periods = {"hour": 3600, "day": 86400, "month": 2_592_000}
    for standing in grant.standings if grant is not None else ():
        rule = standing.claim.rule
        if isinstance(rule, Rate):
            yield LimitLine(
                standing.claim.policy, rule.limit, standing.remaining, rule.window_seconds
            )
        elif isinstance(rule, Quota):
            yield LimitLine(
                standing.claim.policy, rule.limit, standing.remaining, periods[rule.period]
            )
