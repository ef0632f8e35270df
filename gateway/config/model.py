"""The configuration as a typed value: what every other room reads.

Knows which sections there are; each is described in `sections/`. It must not know YAML, files or
how sections depend on each other: that is `rules`. A `Config` that came from `load` passed all of
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gateway.config.sections.alerts import (
    AlertRule,
    AlertRules,
    Alerts,
    KeyAlertRule,
)
from gateway.config.sections.answers import (
    AccessLog,
    Authentication,
    Dialect,
    Forwarding,
    IdentityHeaders,
    RouteDialect,
    Telemetry,
    Throttle,
)
from gateway.config.sections.base import RESTART, Applies, FromText, Section
from gateway.config.sections.bootstrap import (
    Bootstrap,
    BootstrapKey,
    BootstrapTenant,
    TenantAllowlist,
)
from gateway.config.sections.channels import Channel, EmailChannel, SlackChannel, WebhookChannel
from gateway.config.sections.dashboard import Dashboard
from gateway.config.sections.failures import OnFailure, OnKeyFailure
from gateway.config.sections.keys import (
    PERIOD_SECONDS,
    Bundle,
    Environment,
    KeyFormat,
    Peppers,
    Period,
    Plan,
    QuotaLimits,
    RateLimit,
    Scopes,
    Template,
)
from gateway.config.sections.lifecycle import Reload, Supervision, Workers
from gateway.config.sections.limits import Limits, LimitsTls, redis_parts
from gateway.config.sections.listeners import (
    AdminListener,
    ClientAddress,
    DeliveryListener,
    ForwardAuthListener,
    Listeners,
    MetricsListener,
    PublicListener,
)
from gateway.config.sections.policies import ExpiryPolicy, KeyMatch, Policies, RotationPolicy
from gateway.config.sections.reach import ActiveHealth, Resolve, UpstreamTls
from gateway.config.sections.records import Audit, RequestLog
from gateway.config.sections.routing import (
    IpAllowlist,
    Match,
    RequestHeaders,
    ResponseHeaders,
    Route,
    RouteHeaders,
    RoutePath,
    RouteTimeout,
)
from gateway.config.sections.store import Cluster, Store, StoreTls
from gateway.config.sections.tenancy import Tenancy, TenantSelector
from gateway.config.sections.tls import (
    CertificateFiles,
    ClientCertificates,
    PublicTls,
    StrictTransportSecurity,
    Tls,
)
from gateway.config.sections.traces import Traces
from gateway.config.sections.upstreams import (
    Affinity,
    Breaker,
    Health,
    PassiveHealth,
    Retry,
    Upstream,
    UpstreamTarget,
    UpstreamTimeout,
)
from gateway.config.sections.usage import PerKey, Usage, UsageNetworks
from gateway.config.sections.values import EnvironmentName, Label, Name
from gateway.config.sections.wire import split_bind

__all__ = [
    "PERIOD_SECONDS",
    "AccessLog",
    "ActiveHealth",
    "AdminListener",
    "Affinity",
    "AlertRule",
    "AlertRules",
    "Alerts",
    "Audit",
    "Authentication",
    "Bootstrap",
    "BootstrapKey",
    "BootstrapTenant",
    "Breaker",
    "Bundle",
    "CertificateFiles",
    "Channel",
    "ClientAddress",
    "ClientCertificates",
    "Cluster",
    "Config",
    "Dashboard",
    "DeliveryListener",
    "Dialect",
    "EmailChannel",
    "Environment",
    "ExpiryPolicy",
    "ForwardAuthListener",
    "Forwarding",
    "Health",
    "IdentityHeaders",
    "IpAllowlist",
    "KeyAlertRule",
    "KeyFormat",
    "KeyMatch",
    "Limits",
    "LimitsTls",
    "Listeners",
    "Match",
    "MetricsListener",
    "OnFailure",
    "OnKeyFailure",
    "PassiveHealth",
    "Peppers",
    "PerKey",
    "Period",
    "Plan",
    "Policies",
    "PublicListener",
    "PublicTls",
    "QuotaLimits",
    "RateLimit",
    "Reload",
    "RequestHeaders",
    "RequestLog",
    "Resolve",
    "ResponseHeaders",
    "Retry",
    "RotationPolicy",
    "Route",
    "RouteDialect",
    "RouteHeaders",
    "RoutePath",
    "RouteTimeout",
    "Scopes",
    "Section",
    "SlackChannel",
    "Store",
    "StoreTls",
    "StrictTransportSecurity",
    "Supervision",
    "Telemetry",
    "Template",
    "Tenancy",
    "TenantAllowlist",
    "TenantSelector",
    "Throttle",
    "Tls",
    "Traces",
    "Upstream",
    "UpstreamTarget",
    "UpstreamTimeout",
    "UpstreamTls",
    "Usage",
    "UsageNetworks",
    "WebhookChannel",
    "redis_parts",
    "split_bind",
]


def _default_environments() -> dict[str, Environment]:
    return {"live": Environment(), "test": Environment(billable=False)}


def _default_formats() -> dict[str, KeyFormat]:
    return {"tollhouse": KeyFormat(prefix="sk", environments=("live", "test"))}


class Config(Section):
    """The whole configuration of a gateway."""

    applies: ClassVar[Applies] = "hot"
    may_be_empty: ClassVar[bool] = False

    version: Literal[1] = Field(json_schema_extra=RESTART)
    """Shape of this file. Required, so that an old gateway refuses a newer file instead of
    guessing."""
    include: tuple[Annotated[str, Label("path or glob")], ...] = ()
    """Further files, relative to this one: mappings are merged, lists joined, a name may stand in
    one file only."""
    listeners: Listeners = Field(default_factory=Listeners)
    """The sockets: clients, operators and probes never share one."""
    client_address: ClientAddress = Field(default_factory=ClientAddress)
    """Whose address counts for IP rules, throttling and logs."""
    store: Annotated[Store, FromText("url")] = Field(default_factory=Store)
    """The system of record for keys and tenants, and the cache in front of it."""
    cluster: Cluster = Field(default_factory=Cluster)
    """How gateways that share a database wait for each other."""
    peppers: Peppers
    """Server-side secrets under which keys are hashed, by id. Required: without them a stolen store
    would be a list of keys to guess."""
    key_formats: Mapping[Name, KeyFormat] = Field(default_factory=_default_formats)
    """How keys look, by name."""
    environments: Mapping[EnvironmentName, Environment] = Field(
        default_factory=_default_environments
    )
    """Environments, by name: a key belongs to exactly one."""
    scopes: Scopes = Field(default_factory=Scopes)
    """The closed list of what can be permitted."""
    plans: Mapping[Name, Plan] = Field(default_factory=dict)
    """Limits, by name."""
    limits: Annotated[Limits, FromText("url")] = Field(default_factory=Limits)
    """Where limits are counted: in this gateway, or in a Redis that several gateways share."""
    templates: Mapping[Name, Template] = Field(default_factory=dict)
    """Defaults for new keys, by name. The one called `default` is used when a key is created with
    neither scopes nor a template."""
    policies: Policies = Field(default_factory=Policies)
    """Rules for the life of keys: rotation, expiry, reminders."""
    upstreams: Mapping[Name, Upstream] = Field(default_factory=dict)
    """Services behind the gateway, by name."""
    routes: tuple[Route, ...] = ()
    """What is reachable. A path that is not listed is 404; a listed one needs a key unless it says
    `auth: none`."""
    dialect: Dialect = Field(default_factory=Dialect)
    """How the gateway's own answers look."""
    identity_headers: IdentityHeaders = Field(default_factory=IdentityHeaders)
    """Who the caller is, for the upstream."""
    forwarding: Forwarding = Field(default_factory=Forwarding)
    """What the gateway adds to a forwarded request about itself."""
    authentication: Authentication = Field(default_factory=Authentication)
    """How keys are received."""
    tenancy: Tenancy = Field(default_factory=Tenancy)
    """Keys that act for several tenants: how a request names one."""
    telemetry: Telemetry = Field(default_factory=Telemetry)
    """Metrics, the access log and traces."""
    request_log: RequestLog = Field(default_factory=RequestLog)
    """Every request, kept to be searched."""
    usage: Usage = Field(default_factory=Usage)
    """What is counted of requests per key, tenant and route, for how long, and from where they came."""
    audit: Audit = Field(default_factory=Audit)
    """The audit trail, and what makes a change to it visible."""
    alerts: Alerts = Field(default_factory=Alerts)
    """Rules that tell when something is not as it should be."""
    channels: Mapping[Name, Channel] = Field(default_factory=dict)
    """How alerts reach people and programs, by name."""
    dashboard: Dashboard = Field(default_factory=Dashboard)
    """Pages for a browser, on the admin listener."""
    on_failure: OnFailure = Field(default_factory=OnFailure)
    """What becomes of requests, and of what is told of them, while something that the gateway needs does
    not answer."""
    reload: Reload = Field(default_factory=Reload)
    """How a changed configuration reaches the running gateway."""
    workers: Workers = Field(1, json_schema_extra=RESTART)
    """Processes that serve: one does everything by itself; with more, a supervisor keeps the store, the
    admin API and the metrics, and starts that many workers for the requests. `auto` is one per core
    that the gateway may use."""
    supervision: Supervision = Field(default_factory=Supervision)
    """How the supervisor watches over workers."""
    bootstrap: Bootstrap = Field(default_factory=Bootstrap)
    """Tenants and keys that must exist, for installations that are kept in version control."""
