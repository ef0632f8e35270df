"""What clients, upstreams and operators are told: errors, headers, identity, telemetry."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.sections.base import RESTART, Section
from gateway.config.sections.traces import Traces
from gateway.config.sections.usage import OptionalPerKey
from gateway.config.sections.values import Count, Duration, Flag, Label, Text
from gateway.config.sections.wire import Link, OptionalFieldName

Errors = Literal["problem", "hirepanda", "jobhive", "instaview", "instaview_nest"]
RateHeaders = Literal["draft", "draft03", "jobhive", "instaview", "off"]

QuotedText = Annotated[
    str,
    # RFC 6750 section 3: such a parameter holds neither quote nor backslash.
    Text(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,100}", "printable ASCII without quote and backslash"),
    Label("text"),
]
Pseudonym = Annotated[
    str, Text(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", "one word (RFC 9110 token)"), Label("text")
]
MetricPrefix = Annotated[
    str, Text(r"[a-z][a-z0-9]{0,31}", "one word of lower-case letters and digits"), Label("text")
]


class Dialect(Section):
    """How the gateway's own answers look."""

    errors: Errors = "problem"
    """Shape of error bodies: RFC 9457 (`problem`), or what a vendor's clients expect."""
    rate_headers: tuple[RateHeaders, ...] = Field(("draft",), min_length=1)
    """Rate-limit headers, several may be combined: the IETF draft's, a vendor's, or `off` alone."""
    realm: QuotedText = "tollhouse"
    """`realm` of `WWW-Authenticate`, which a 401 must carry (RFC 9110 section 11.6.1)."""
    docs_url: Link = ""
    """Where the documentation is served: errors link to `<docs_url>/reasons/<reason>`. Empty: no
    links."""
    support_url: Link = ""
    """Where a caller finds help; added to errors when set."""
    problem_on_accept: Flag = True
    """Answer RFC 9457 to a client that accepts `application/problem+json`, whatever `errors` says.
    """


class RouteDialect(Section):
    """What differs on one route from the gateway's `dialect`; null keeps it."""

    errors: Errors | None = None
    """Shape of error bodies."""
    rate_headers: tuple[RateHeaders, ...] | None = Field(None, min_length=1)
    """Rate-limit headers."""


class IdentityHeaders(Section):
    """Who the caller is, for the upstream. Copies sent by a client are always removed."""

    prefix: Annotated[OptionalFieldName, Label("start of header names")] = "X-Gateway"
    """Fields of a client that start with this are removed, in every spelling. Empty: only those
    named below."""
    key_id: OptionalFieldName = "X-Gateway-Key-Id"
    """Field for the public id of the key. Here and below, empty: not sent."""
    lineage: OptionalFieldName = "X-Gateway-Lineage"
    """Field for the id that a key shares with its rotated successors."""
    tenant: OptionalFieldName = "X-Gateway-Tenant"
    """Field for the id of the tenant that the request is for."""
    key_tenant: OptionalFieldName = "X-Gateway-Key-Tenant"
    """Field for the id of the tenant that owns the key, when it is one that may act for others."""
    scopes: OptionalFieldName = "X-Gateway-Scopes"
    """Field for the granted atoms, separated by spaces."""
    environment: OptionalFieldName = "X-Gateway-Environment"
    """Field for the environment of the key."""
    certificate_subject: OptionalFieldName = ""
    """Field for the subject of the client's verified certificate (RFC 4514: `CN=jobs,O=Example`)."""
    certificate_fingerprint: OptionalFieldName = ""
    """Field for the SHA-256 of that certificate, in hexadecimal digits."""
    forward_authorization: Flag = False
    """Pass the client's `Authorization` on. Off, so that keys do not end up in upstream logs."""


class Forwarding(Section):
    """What the gateway adds to a forwarded request about itself."""

    via: Pseudonym = "tollhouse"
    """Name of this gateway in `Via`. A request that already carries it is refused as a loop, so
    gateways in a row need different names."""
    forwarded: Flag = False
    """Send `Forwarded` (RFC 7239) besides `X-Forwarded-For`, `-Proto` and `-Host`."""
    traces_from: Literal["everybody", "proxies", "nobody"] = "everybody"
    """Whose trace context (`traceparent`, `tracestate`) is passed on: of `everybody`, of trusted
    `proxies`, or of `nobody`. For others a new trace begins."""


class Throttle(Section):
    """Slows down an address whose authentication keeps failing, before the store is asked."""

    failures: Count = 20
    """Failed authentications of one address within `per`, as a bucket that refills evenly."""
    per: Duration = 60.0
    """The time within which they count."""
    addresses_max: Count = 100000
    """Addresses that are remembered; the oldest leave first."""


class Authentication(Section):
    """How keys are received."""

    throttle: Throttle = Field(default_factory=Throttle)
    """Slows down an address whose authentication keeps failing, before the store is asked."""


class AccessLog(Section):
    """One JSON line per request, with keys redacted."""

    path: Annotated[str, Field(min_length=1), Label("path, `-` or `off`")] = "-"
    """`-` is standard output, `off` writes none, else a file. A relative path starts at the folder
    of this file."""
    lines_max: Count = 10000
    """Lines that wait to be written; further ones are dropped and counted, so a slow disk never
    slows a request."""
    flush: Duration = 0.25
    """How often waiting lines are written."""


class Telemetry(Section):
    """Metrics, the access log and traces."""

    namespace: MetricPrefix = Field("tollhouse", json_schema_extra=RESTART)
    """First word of every metric's name."""
    access_log: AccessLog = Field(default_factory=AccessLog)
    """One JSON line per request, with keys redacted."""
    series_budget: Count = Field(20000, json_schema_extra=RESTART)
    """Most time series of all metrics together; further ones are dropped and counted."""
    traces: Traces = Field(default_factory=Traces)
    """Spans of requests for a collector that speaks OTLP over HTTP. Needs the extra `otel`."""
    per_key: OptionalPerKey = None
    """`{top: 50}` or `top 50`: tell requests of so many keys, those with the most, and of all others
    together. Null tells none."""
