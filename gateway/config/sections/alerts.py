"""Alerts: which rules are looked at, how they are set, and how long what they found is kept."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.config.sections.base import Section
from gateway.config.sections.values import (
    Count,
    Duration,
    DurationOrOff,
    Flag,
    Label,
    Name,
    Share,
    Tag,
    read_number,
)

_A_DAY: Final = 86_400.0
_EVERY_MAX: Final = 3_600.0


def _a_day(seconds: float) -> float:
    if seconds < _A_DAY:
        raise ValueError("must be a day or more")
    return seconds


def _an_hour_at_most(seconds: float) -> float:
    if seconds > _EVERY_MAX:
        raise ValueError("must be an hour or less")
    return seconds


Factor = Annotated[
    float,
    Field(ge=1, le=1_000_000),
    BeforeValidator(read_number),
    Label("factor"),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 1}, {"type": "string"}]}),
]
"""A multiple of something, at least once."""


class AlertRule(Section):
    """A rule: whether it is looked at, and who is told."""

    enabled: Flag = True
    """Off: it finds nothing, and what it has found is over."""
    severity: Literal["info", "warning", "critical"] = "warning"
    """How urgent: `critical` wakes somebody up, `warning` is for a working day."""
    channels: tuple[Name, ...] | None = None
    """Who is told. Null: `alerts.channels`; `[]`: nobody, it only stands in the list."""
    fire_after: DurationOrOff = 0.0
    """How long something must be so before the alert fires."""
    resolve_after: DurationOrOff = 600.0
    """How long it must be over before the alert is resolved: what comes back before then is not told again."""


class KeyAlertRule(AlertRule):
    """A rule about keys."""

    resolve_after: DurationOrOff = 3_600.0
    """How long it must be over before the alert is resolved: what comes back before then is not told again."""
    except_tags: tuple[Tag, ...] = ()
    """Keys that have any of these tags are left alone."""


class ApproachingLimitRule(KeyAlertRule):
    """How much of a limit is most of it."""

    rate_used: Share = 0.8
    """The used share of a rate, within the last five minutes."""
    quota_used: Share = 0.8
    """The used share of a quota."""


class UnusualVolumeRule(KeyAlertRule):
    """How many requests are unusual."""

    factor: Factor = 3.0
    """So many times the busiest hour of the past seven days, within the last hour."""
    requests_min: Count = 200
    """Fewer requests in an hour are never unusual."""
    history_min: DurationOrOff = 86_400.0
    """How long a key must exist, and the gateway count, before anything is unusual."""


class AuthFailuresRule(KeyAlertRule):
    """How many failed authentications within five minutes are too many."""

    per_key: Count = 20
    """With one key that has expired, is suspended or revoked."""
    per_tenant: Count = 100
    """With all such keys of a tenant."""
    per_network: Count = 50
    """From one network, with credentials that are no key; such networks are found in the request log."""


class UnexpectedAddressRule(KeyAlertRule):
    """When a network is unexpected."""

    resolve_after: DurationOrOff = _A_DAY
    """How long it must be over before the alert is resolved: what comes back before then is not told again."""
    learning: DurationOrOff = 7 * _A_DAY
    """How long a key is used from wherever it likes, counted from its first use."""
    refused_min: Count = 1
    """So many requests within 15 minutes that an address list refused are told as well."""


class HighErrorRateRule(KeyAlertRule):
    """Which share of the requests of a key must fail, within 15 minutes, each for itself."""

    denied_ratio: Share = 0.5
    """Refused by the gateway, but not because the key itself has ended: other rules tell of that."""
    failed_ratio: Share = 0.2
    """Without a proper answer of the upstream."""
    upstream_ratio: Share = 0.5
    """Answered by the upstream with 4xx or 5xx."""
    requests_min: Count = 50
    """Fewer requests say nothing."""


class CountedUseRule(KeyAlertRule):
    """How many requests are told."""

    resolve_after: DurationOrOff = _A_DAY
    """How long it must be over before the alert is resolved: what comes back before then is not told again."""
    requests_min: Count = 1
    """Fewer requests are passed over."""


class AfterHoursRule(CountedUseRule):
    """Use outside the business hours of a tenant (`PATCH /tenants`); a tenant without any is left alone."""

    resolve_after: DurationOrOff = 14_400.0
    """How long it must be over before the alert is resolved: what comes back before then is not told again."""


class CertificateRule(AlertRule):
    """When a certificate expires soon."""

    within: Duration = 14 * _A_DAY
    """How long before its end."""


class UrgentRule(AlertRule):
    """A rule about what wakes somebody up."""

    severity: Literal["info", "warning", "critical"] = "critical"
    """How urgent: `critical` wakes somebody up, `warning` is for a working day."""
    resolve_after: DurationOrOff = 60.0
    """How long it must be over before the alert is resolved: what comes back before then is not told again."""


class MendingRule(AlertRule):
    """A rule about what mends itself, and may come and go."""

    resolve_after: DurationOrOff = 60.0
    """How long it must be over before the alert is resolved: what comes back before then is not told again."""


class LossRule(UrgentRule):
    """A rule about evidence that is missing for good."""

    resolve_after: DurationOrOff = 600.0
    """How long it must be over before the alert is resolved: what comes back before then is not told again."""


class SnapshotRule(AlertRule):
    """A rule about the snapshot by which keys are served while the store does not answer."""

    fire_after: DurationOrOff = 300.0
    """How long something must be so before the alert fires: a million keys take a minute to be written."""
    older_than: DurationOrOff = 300.0
    """How old it is when it is told of; it is confirmed every few seconds."""


class LifetimeRule(KeyAlertRule):
    """A rule about the life of keys, by the sections `policies`."""

    resolve_after: DurationOrOff = 0.0
    """How long it must be over before the alert is resolved: what comes back before then is not told again."""


class AlertRules(Section):
    """The rules, by their names: those of the rules for Prometheus, and of the runbooks."""

    ApiKeyApproachingRateLimit: ApproachingLimitRule = Field(default_factory=ApproachingLimitRule)
    """A key has used most of a rate or a quota, or is refused because of one."""
    ApiKeyUnusualVolume: UnusualVolumeRule = Field(default_factory=UnusualVolumeRule)
    """A key makes many more requests in an hour than in its busiest hour of the past days."""
    ApiKeyAuthFailuresHigh: AuthFailuresRule = Field(default_factory=AuthFailuresRule)
    """Authentication keeps failing: with one key, with the keys of one tenant, or from one network."""
    ApiKeyExpiringSoon: LifetimeRule = Field(default_factory=LifetimeRule)
    """A key expires soon: told once for each of `policies.reminders`, also over restarts."""
    ApiKeyRotationOverdue: LifetimeRule = Field(default_factory=LifetimeRule)
    """A key should have been rotated, as `policies.rotation` says."""
    ApiKeyUnexpectedAddress: UnexpectedAddressRule = Field(default_factory=UnexpectedAddressRule)
    """A key is used from a network that it was never used from, or was refused because of its address."""
    ApiKeyHighErrorRate: HighErrorRateRule = Field(default_factory=HighErrorRateRule)
    """Many requests of a key fail."""
    ApiKeyAfterHoursUse: AfterHoursRule = Field(default_factory=AfterHoursRule)
    """A key is used outside the business hours of its tenant."""
    RevokedApiKeyStillUsed: CountedUseRule = Field(default_factory=CountedUseRule)
    """Somebody still holds a key that was revoked or suspended, and uses it."""
    ApiKeyClientSideUse: CountedUseRule = Field(default_factory=CountedUseRule)
    """A key is used from a browser, where everybody can read it."""
    ApiKeyUnexpectedEnvironment: CountedUseRule = Field(default_factory=CountedUseRule)
    """A key was refused because it belongs to another environment than the route."""
    GatewayStoreUnavailable: UrgentRule = Field(default_factory=UrgentRule)
    """The key store does not answer, or cannot be written. Told without the store."""
    GatewayLimiterUnavailable: MendingRule = Field(default_factory=MendingRule)
    """The Redis that counts limits does not answer."""
    GatewaySnapshotStale: SnapshotRule = Field(default_factory=SnapshotRule)
    """The snapshot of the keys is old or missing: a restart with a broken store would serve nobody."""
    GatewayAccessLogLoss: AlertRule = Field(default_factory=AlertRule)
    """Requests are missing from the access log."""
    GatewayAuditLoss: LossRule = Field(default_factory=LossRule)
    """Logins or reloads are missing in the audit trail, or requests in the request log."""
    GatewayAuditTampered: UrgentRule = Field(default_factory=UrgentRule)
    """The audit trail does not hold what was signed any more."""
    GatewayRevocationPending: UrgentRule = Field(default_factory=UrgentRule)
    """A worker or another gateway may still serve by what was before a change of a key."""
    GatewayConfigReloadFailed: AlertRule = Field(default_factory=AlertRule)
    """A changed configuration was refused."""
    UpstreamDown: UrgentRule = Field(default_factory=UrgentRule)
    """An upstream has no target that should get requests."""
    TlsCertificateExpiringSoon: CertificateRule = Field(default_factory=CertificateRule)
    """A TLS certificate of a listener expires soon, or has expired."""


class Alerts(Section):
    """Rules that look at usage, keys and the gateway itself, and tell when something is not as it should be."""

    enabled: Flag = True
    """Off: no rule is looked at."""
    every: Annotated[Duration, AfterValidator(_an_hour_at_most)] = 60.0
    """How often the rules are looked at."""
    channels: tuple[Name, ...] = ()
    """Who is told where a rule says nothing else: names of `channels`. Nobody by default; alerts stand in
    `tollhouse alerts list`, in the audit trail and in the metrics all the same."""
    retention: Annotated[Duration, AfterValidator(_a_day)] = 90 * _A_DAY
    """How long resolved alerts are kept."""
    runbooks_url: str = ""
    """Where your copy of the runbooks is served; messages link to `<runbooks_url>/<rule>.md`. Empty: no links."""
    rules: AlertRules = Field(default_factory=AlertRules)
    """The rules."""
