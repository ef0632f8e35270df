"""The edge: no socket is shared or exposed by accident, and no header is set twice."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from gateway.config.model import Config, split_bind
from gateway.config.problems import Finding, KeyPath, quoted
from gateway.config.rules.names import Declared, repeated

TOKEN_LENGTH_MIN: Final = 32
"""Characters: 128 bits even if they are hexadecimal digits."""

_ADDED_BY_US: Final = frozenset(
    {
        "via", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
        "x-request-id", "traceparent", "tracestate",
    }
)  # fmt: skip
_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def listeners(config: Config, _declared: Declared) -> Iterator[Finding]:
    """Each listener has an address of its own, and what reaches the admin listener over a network is
    encrypted."""
    names = ("public", "admin", "metrics", "delivery", "forward_auth")
    places: list[tuple[KeyPath, str, str | None]] = [
        (("listeners", name, "bind"), f"{name} listener", getattr(config.listeners, name).bind)
        for name in names
    ]
    places.append((("dashboard", "bind"), "dashboard", config.dashboard.bind))
    taken: list[tuple[str, str]] = []
    for path, name, bind in places:
        if bind is None:
            continue
        for other, other_bind in taken:
            if _collide(bind, other_bind):
                yield Finding(path, f"is taken by the {other}")
        taken.append((name, bind))
    yield from _admin(config)
    yield from _dashboard(config)
    yield from _delivery(config)
    yield from _forward_auth(config)


def _admin(config: Config) -> Iterator[Finding]:
    admin = config.listeners.admin
    host, port = split_bind(admin.bind)
    token = admin.token.get_secret_value()
    path: KeyPath = ("listeners", "admin")
    if port >= 0 and not is_loopback(host) and admin.tls is None and not admin.insecure:
        message = "is in reach of the network: tokens and keys would cross it in clear"
        yield Finding((*path, "bind"), message, "use a unix socket or loopback, or set `tls`")
    if token and len(token) < TOKEN_LENGTH_MIN:
        message = f"has {len(token)} characters and needs at least {TOKEN_LENGTH_MIN}"
        yield Finding((*path, "token"), message, "make one with `openssl rand -hex 32`")


def _dashboard(config: Config) -> Iterator[Finding]:
    bind = config.dashboard.bind
    is_in_clear = config.listeners.admin.tls is None and not config.dashboard.insecure
    if bind is None:
        return
    path: KeyPath = ("dashboard", "bind")
    host, port = split_bind(bind)
    if port < 0:
        yield Finding(path, "is out of reach of browsers", "use a port on loopback: 127.0.0.1:9901")
    elif is_in_clear and not is_loopback(host):
        message = "is in reach of the network: tokens and keys would cross it in clear"
        yield Finding(path, message, "use loopback, or set `listeners.admin.tls`")


def _delivery(config: Config) -> Iterator[Finding]:
    delivery = config.listeners.delivery
    path: KeyPath = ("listeners", "delivery")
    if delivery.bind is None:
        if delivery.tls is not None:
            yield Finding((*path, "tls"), "means nothing without `bind`")
        return
    host, port = split_bind(delivery.bind)
    if port >= 0 and not is_loopback(host) and delivery.tls is None and not delivery.insecure:
        message = "is in reach of the network: secrets would cross it in clear"
        yield Finding((*path, "bind"), message, "set `tls`, or `insecure` behind a proxy with TLS")


def _forward_auth(config: Config) -> Iterator[Finding]:
    asked, clients = config.listeners.forward_auth, config.client_address
    path: KeyPath = ("listeners", "forward_auth")
    if asked.bind is None:
        if asked.tls is not None:
            yield Finding((*path, "tls"), "means nothing without `bind`")
        return
    if clients.header == "none":
        message = "needs to be told who clients are, and `client_address.header` is none"
        yield Finding((*path, "bind"), message, "x-forwarded-for or forwarded")
    host, port = split_bind(asked.bind)
    if port < 0 or is_loopback(host):
        return
    if asked.tls is None and not asked.insecure:
        message = "is in reach of the network: the keys of clients would cross it in clear"
        yield Finding(
            (*path, "bind"), message, "set `tls`, or `insecure` where something else encrypts"
        )
    if not clients.trusted_proxies:
        message = "is for proxies, and none beyond this machine is declared"
        yield Finding((*path, "bind"), message, "list them in `client_address.trusted_proxies`")


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _collide(first: str, second: str) -> bool:
    (one, port), (other, other_port) = split_bind(first), split_bind(second)
    if port != other_port or port == 0:
        return False
    same_family = (":" in one) == (":" in other)
    return one == other or (port > 0 and same_family and bool(_WILDCARDS & {one, other}))


def proxies(config: Config, _declared: Declared) -> Iterator[Finding]:
    """Proxies are believed only if they are named."""
    public = config.listeners.public
    is_tcp = split_bind(public.bind)[1] >= 0
    advice = "list the proxies in `client_address.trusted_proxies`"
    if config.client_address.trusted_proxies:
        return
    if public.proxy_protocol and is_tcp:
        message = "would let anyone who connects choose their own address"
        yield Finding(("listeners", "public", "proxy_protocol"), message, advice)
    if config.listeners.admin.trusts_proxies:
        yield Finding(("listeners", "admin", "trusts_proxies"), "trusts nobody", advice)


def headers(config: Config, _declared: Declared) -> Iterator[Finding]:
    """No configured header takes the place of one that the gateway itself vouches for."""
    identity = config.identity_headers
    fields = (
        "key_id", "lineage", "tenant", "key_tenant", "scopes", "environment",
        "certificate_subject", "certificate_fingerprint",
    )  # fmt: skip
    named: list[tuple[KeyPath, str]] = [
        (("identity_headers", field), value.lower())
        for field in fields
        if (value := getattr(identity, field))
    ]
    yield from repeated("the header", named)
    for path, name in named:
        if name in _ADDED_BY_US or name == "authorization":
            yield Finding(path, f"{quoted(name)} is a header with another meaning")
    own = {name for _, name in named} | _ADDED_BY_US
    prefix = identity.prefix.lower()
    for path, name in _forwarded(config):
        lower = name.lower()
        if lower in own or (prefix and lower.startswith(prefix)):
            yield Finding(path, "is set by the gateway itself: an upstream could not trust it")
    for n, route in enumerate(config.routes):
        for name in route.headers.response.set:
            if name.lower() == "x-request-id":
                path = ("routes", n, "headers", "response", "set", name)
                yield Finding(path, "is set by the gateway itself")


def _forwarded(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for n, route in enumerate(config.routes):
        for name in route.headers.request.set:
            yield ("routes", n, "headers", "request", "set", name), name
    for environment, each in config.environments.items():
        for name in each.forward:
            yield ("environments", environment, "forward", name), name


def dialects(config: Config, _declared: Declared) -> Iterator[Finding]:
    """Profiles of rate-limit headers are named once, and `off` stands alone."""
    chosen: list[tuple[KeyPath, tuple[str, ...]]] = [
        (("dialect", "rate_headers"), config.dialect.rate_headers)
    ]
    for n, route in enumerate(config.routes):
        path: KeyPath = ("routes", n, "dialect", "rate_headers")
        chosen.append((path, route.dialect.rate_headers or ()))
    for path, profiles in chosen:
        yield from repeated("the profile", (((*path, n), p) for n, p in enumerate(profiles)))
        if "off" in profiles and set(profiles) != {"off"}:
            yield Finding(path, "`off` cannot be combined with a profile")
