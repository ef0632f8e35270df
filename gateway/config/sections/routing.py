"""Where requests go: routes with what may reach them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gateway.config.sections.answers import RouteDialect
from gateway.config.sections.base import Section, Shorthand
from gateway.config.sections.values import (
    Atom,
    Duration,
    DurationOrOff,
    EnvironmentName,
    Label,
    Mode,
    Name,
    OptionalName,
    Size,
)
from gateway.config.sections.wire import (
    FieldName,
    FieldValue,
    HostPattern,
    Method,
    Network,
    Regex,
)

Tolerance = Literal[
    "encoded_slash", "empty_segments", "parameters", "double_encoding", "trailing_dot"
]


class Match(Section):
    """Which requests belong to a route; exactly one of `path`, `prefix` and `regex`."""

    hosts: tuple[HostPattern, ...] = ()
    """Host names, exact or `*.example.com` (any depth below it), or `[v6 addresses]`, however these are
    spelled. Empty: every host. The more exact host is asked first."""
    methods: tuple[Method, ...] = ("*",)
    """Methods, or `*` for all. `GET` also answers `HEAD`; another method than those listed for a
    path gets 405 with `Allow`."""
    path: Annotated[str, Label("path template")] = ""
    """Whole path: `/v1/jobs/{id}`. A parameter is a whole segment; at the end, `{id?}` may be
    missing and `{rest...}` takes one segment or more. A literal segment wins over a parameter."""
    prefix: Annotated[str, Label("path")] = ""
    """Everything at or below this path, by whole segments. The longer prefix wins; `path` and
    `regex` come first."""
    regex: Regex = ""
    """Expression for the whole decoded path, starting with a literal directory
    (`/v1/reports/[0-9]+`); named groups are parameters. Slower than `path`."""


class RoutePath(Section):
    """What is forwarded instead of the client's path."""

    strip_prefix: Annotated[str, Label("path")] = ""
    """Literal start of the matched path, to remove before forwarding. Not together with `rewrite`.
    """
    rewrite: Annotated[str, Label("path template")] = ""
    """Path to forward instead, with the parameters of `match`: `/internal/{id}`. What a prefix left
    over is `{rest...}`."""
    allow: tuple[Tolerance, ...] = ()
    """Spellings to let through that are refused otherwise (400), because two servers may read them
    differently and a scope is decided on the path."""


class RequestHeaders(Section):
    """Changes to the fields of the forwarded request."""

    set: Mapping[FieldName, FieldValue] = Field(default_factory=dict, repr=False)
    """Fields to set, replacing the client's. May hold a credential for the upstream: never shown.
    """
    remove: tuple[FieldName, ...] = ()
    """Fields of the client to drop."""


class ResponseHeaders(Section):
    """Changes to the fields of the answer."""

    set: Mapping[FieldName, FieldValue] = Field(default_factory=dict, repr=False)
    """Fields to set, replacing the upstream's."""
    remove: tuple[FieldName, ...] = ()
    """Fields of the upstream to drop, such as `Server`."""


class RouteHeaders(Section):
    """Changes to header fields, in both directions."""

    request: RequestHeaders = Field(default_factory=RequestHeaders)
    """Changes to the fields of the forwarded request."""
    response: ResponseHeaders = Field(default_factory=ResponseHeaders)
    """Changes to the fields of the answer."""


class RouteTimeout(Section):
    """What differs from the upstream's `timeout`; null keeps the upstream's value."""

    connect: Duration | None = None
    """Time to connect."""
    response_headers: Duration | None = None
    """Time from the end of the request to the head of the answer."""
    idle: Duration | None = None
    """Longest pause within an answer."""
    total: DurationOrOff | None = None
    """Time for the whole exchange; 0 switches it off."""


class IpAllowlist(Section):
    """Addresses that may call; a bare list stands for `allow`."""

    may_be_empty: ClassVar[bool] = False  # a list that was left out would let everybody in

    allow: tuple[Network, ...] = ()
    """Addresses and CIDR ranges. Empty allows every address."""
    mode: Mode = "enforce"
    """`shadow` finds out and counts what the list would refuse, and refuses nothing."""


class Route(Section):
    """One entry of the route table. The order in the file means nothing."""

    name: Name
    """Unique name, used in logs and as a metric label."""
    match: Match
    """Which requests belong to this route."""
    auth: Literal["key", "none"] = "key"
    """`none` makes the route public; anything else would be open by forgetting."""
    scopes: tuple[Atom, ...] = ()
    """Scopes that a key must hold, all of them, each a declared atom. Empty: any valid key."""
    scopes_mode: Mode = "enforce"
    """`shadow` finds out and counts whom the scopes would refuse, and refuses nobody."""
    environments: tuple[EnvironmentName, ...] = ()
    """Environments whose keys may call. Empty: all."""
    upstream: OptionalName = ""
    """Upstream that answers; required for `handler: proxy`."""
    handler: Literal["proxy", "introspect"] = "proxy"
    """`introspect` answers what the key is and may do, from the gateway, also with the upstream
    down."""
    plan: OptionalName = ""
    """Plan whose limits all callers of this route share (`owners` holds `route`)."""
    ip_allowlist: Annotated[IpAllowlist, Shorthand("allow")] = Field(default_factory=IpAllowlist)
    """Addresses that may call, besides the lists of the tenant and the key: all must agree."""
    path: RoutePath = Field(default_factory=RoutePath)
    """What is forwarded instead of the client's path."""
    headers: RouteHeaders = Field(default_factory=RouteHeaders)
    """Changes to header fields, in both directions."""
    body_bytes_max: Size = 10 * 2**20
    """Largest request body (413 above). It is streamed, so this protects the upstream, not memory.
    """
    timeout: RouteTimeout = Field(default_factory=RouteTimeout)
    """What differs from the upstream's `timeout`."""
    dialect: RouteDialect = Field(default_factory=RouteDialect)
    """What differs from the gateway's `dialect`."""
