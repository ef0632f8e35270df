"""The edge: listeners, and how the client's address is found behind proxies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from gateway.config.sections.base import RESTART, Section
from gateway.config.sections.tls import PublicTls, Tls
from gateway.config.sections.values import (
    Count,
    Duration,
    DurationOrOff,
    Flag,
    Integer,
    Label,
    Secret,
    Size,
)
from gateway.config.sections.wire import Bind, Link, Network


class PublicListener(Section):
    """Where clients connect."""

    bind: Bind = Field("127.0.0.1:8080", json_schema_extra=RESTART)
    """Address of the data plane. Loopback by default, so that nothing is exposed by accident; port
    0 takes a free one."""
    tls: PublicTls | None = Field(None, json_schema_extra=RESTART)
    """TLS. Null speaks HTTP in clear, for a listener behind a proxy that speaks TLS. To add or remove
    it needs a restart."""
    proxy_protocol: Flag = Field(default=False, json_schema_extra=RESTART)
    """Expect a PROXY protocol header (v1 or v2) on each connection, as HAProxy and AWS NLB send it.
    Only for a listener that nobody else can reach: it needs `client_address.trusted_proxies`."""
    backlog: Count = Field(1024, json_schema_extra=RESTART)
    """Connections that the kernel holds until they are accepted; it caps this at `somaxconn`."""
    connections_max: Count = 16384
    """Open client connections. A further one takes the place of the one that is idle for longest,
    as in nginx; when none is, it is closed at once. Bounds memory and descriptors, and is lowered
    at start, with a warning, to what the limit of open files allows."""
    connections_per_address_max: Count | None = None
    """Open connections of one address, or of one IPv6 network of `client_address.ipv6_prefix`;
    further ones are closed at once. Null means no limit of its own, because behind a proxy all
    clients share the proxy's address."""
    head_timeout: Duration = 10.0
    """Time for a whole request head, from its first byte, however it drips in (408 when a part of
    it came). A new connection has as long to send the first byte. Ends slow-header attacks."""
    body_timeout: Duration = 30.0
    """Longest pause within a request body (408); not the time of the whole body, so uploads may be
    long. Only time in which the client is waited for counts."""
    body_rate_min: Size | None = 240
    """Bytes per second that a request body must bring, averaged over each `body_timeout` (408), so
    the first one is also the grace period. The rate of Kestrel, half of Apache's; null switches it
    off, for clients that trickle data on purpose."""
    idle_timeout: Duration = 75.0
    """How long an idle connection is kept for the next request; longer than what load balancers use
    (60 s), so that they close first and never meet a closing connection."""
    write_timeout: Duration = 60.0
    """How long a client may read nothing while an answer waits for it; then it is cut off."""
    write_rate_min: Size | None = 240
    """Bytes per second that a client must read while an answer waits for it, averaged over each
    `write_timeout`; else it is cut off. An upstream that sends slowly never costs its client
    anything. The rate of Kestrel; null switches it off."""
    requests_per_connection_max: Count = 10000
    """Requests on one connection before it is closed, so that load spreads again after a
    deployment."""
    connection_lifetime: Duration = 3600.0
    """Age at which a connection is closed with its next answer, for the same reason; nginx has the
    same default (`keepalive_time`). Never cuts a request, a stream or a tunnel."""
    target_bytes_max: Size = 8192
    """Longest request target (414 above); RFC 9112 section 3 recommends at least 8000."""
    head_bytes_max: Size = 32768
    """Largest request head (431 above)."""
    head_fields_max: Count = 100
    """Most header fields of a request (431 above), the limit of Apache and of many backends."""
    drain_delay: DurationOrOff = 0.0
    """How long a shutdown goes on taking connections while `/readyz` says 503 already, so that load
    balancers stop sending first. Off, because without one it would only delay the end; behind one,
    a little more than it takes to notice."""
    drain_timeout: Duration = 10.0
    """How long a shutdown waits for running requests before it cuts them; orchestrators give 30 s.
    """


class AdminListener(Section):
    """Where operators connect; never in reach of clients."""

    bind: Bind = Field("unix:data/admin.sock", json_schema_extra=RESTART)
    """Address of the admin API. A unix socket is protected by its file mode; on TCP every request needs
    a token, and beyond loopback `tls`, too."""
    tls: Tls | None = Field(None, json_schema_extra=RESTART)
    """TLS. To add or remove it needs a restart."""
    insecure: Flag = False
    """Accept an address beyond loopback without `tls`: tokens and keys then cross the network in
    clear. Only where something else encrypts, such as a mesh."""
    trusts_proxies: Flag = False
    """Believe `client_address.trusted_proxies` about where operators come from, in the audit trail and
    when failed logins are throttled. Off, because the peer counts where operators connect directly;
    only for a listener that nobody reaches but through those proxies."""
    token: Secret = SecretStr("")
    """Bearer token of the admin API with all rights, at least 32 characters: a way in when all others
    are lost. On TCP every request needs it or an admin token of the store: without either, all are
    answered 401 until `tollhouse admin bootstrap --offline` makes the first."""


class MetricsListener(Section):
    """Where Prometheus and probes connect; it holds no rights."""

    bind: Bind = Field("127.0.0.1:9100", json_schema_extra=RESTART)
    """Address of `/metrics`, `/livez` and `/readyz`."""
    tls: Tls | None = Field(None, json_schema_extra=RESTART)
    """TLS. To add or remove it needs a restart."""


class DeliveryListener(Section):
    """Where partners take the secret of a key with a one-time link; it holds no other right. Who took
    one is found as on the public listener, by `client_address`."""

    bind: Bind | None = Field(None, json_schema_extra=RESTART)
    """Address of the links. Null serves them on the admin listener only, out of reach of most
    partners."""
    tls: Tls | None = Field(None, json_schema_extra=RESTART)
    """TLS. To add or remove it needs a restart."""
    insecure: Flag = False
    """Accept an address beyond loopback without `tls`: secrets then cross the network in clear. Only
    where something in front speaks TLS with whoever has the link."""
    base_url: Link = ""
    """What links begin with, as their holders reach them, such as https://keys.example.com. Empty
    answers with the path alone."""


class ForwardAuthListener(Section):
    """Where proxies ask that forward by themselves: nginx, Traefik, Caddy, Envoy. Only those of
    `client_address.trusted_proxies`, those on this machine, and whoever may connect to a unix socket."""

    bind: Bind | None = Field(None, json_schema_extra=RESTART)
    """Address of `/nginx`, `/traefik`, `/caddy` and `/envoy`. Null: nobody may ask."""
    tls: Tls | None = Field(None, json_schema_extra=RESTART)
    """TLS. To add or remove it needs a restart."""
    insecure: Flag = False
    """Accept an address beyond loopback without `tls`: the keys of clients then cross the network in
    clear. Only where something else encrypts, such as a mesh."""
    connections_max: Count = 1024
    """Open connections of proxies; a further one takes the place of the one that is idle for longest."""
    idle_timeout: Duration = 3700.0
    """How long an idle connection is kept for the next question: longer than proxies keep theirs (Envoy
    an hour), so that they close first and never ask into a connection that is being closed."""


class Listeners(Section):
    """The sockets: clients, operators and probes never share one."""

    public: PublicListener = Field(default_factory=PublicListener)
    """Where clients connect."""
    admin: AdminListener = Field(default_factory=AdminListener)
    """Where operators connect; never in reach of clients."""
    metrics: MetricsListener = Field(default_factory=MetricsListener)
    """Where Prometheus and probes connect; it holds no rights."""
    delivery: DeliveryListener = Field(default_factory=DeliveryListener)
    """Where partners take the secret of a key with a one-time link; it holds no other right."""
    forward_auth: ForwardAuthListener = Field(default_factory=ForwardAuthListener)
    """Where proxies ask that forward by themselves: nginx, Traefik, Caddy, Envoy."""


class ClientAddress(Section):
    """Whose address counts for IP rules, throttling and logs."""

    trusted_proxies: tuple[Network, ...] = ()
    """Proxies whose word on the client's address is believed. The header is walked from right to
    left through these only, so a client cannot invent an address. Empty: the peer is the client."""
    header: Literal["x-forwarded-for", "forwarded", "none"] = "x-forwarded-for"
    """The field that the proxies write. One only: believing two lets a client choose."""
    ipv6_prefix: Annotated[Integer, Field(ge=1, le=128), Label("1 to 128")] = 64
    """Leading bits of an IPv6 address that count as one client when failures are throttled: a
    customer usually owns a whole /64."""
