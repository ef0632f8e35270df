"""The rules that the gateway has itself: their names, what each one tells, and the bounds of their numbers.

Knows that the names are those of the rules for Prometheus, and of the runbooks. It must not know what a rule looks at,
nor any default: that is the configuration's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple


class RuleName(StrEnum):
    """The stable names: in the configuration, the API, metrics, runbooks and messages."""

    APPROACHING_LIMIT = "ApiKeyApproachingRateLimit"
    UNUSUAL_VOLUME = "ApiKeyUnusualVolume"
    AUTH_FAILURES = "ApiKeyAuthFailuresHigh"
    EXPIRING = "ApiKeyExpiringSoon"
    ROTATION_OVERDUE = "ApiKeyRotationOverdue"
    UNEXPECTED_ADDRESS = "ApiKeyUnexpectedAddress"
    HIGH_ERROR_RATE = "ApiKeyHighErrorRate"
    AFTER_HOURS = "ApiKeyAfterHoursUse"
    REVOKED_USED = "RevokedApiKeyStillUsed"
    CLIENT_SIDE = "ApiKeyClientSideUse"
    UNEXPECTED_ENVIRONMENT = "ApiKeyUnexpectedEnvironment"
    STORE_UNAVAILABLE = "GatewayStoreUnavailable"
    LIMITER_UNAVAILABLE = "GatewayLimiterUnavailable"
    SNAPSHOT_STALE = "GatewaySnapshotStale"
    LOG_LOSS = "GatewayAccessLogLoss"
    AUDIT_LOSS = "GatewayAuditLoss"
    AUDIT_TAMPERED = "GatewayAuditTampered"
    REVOCATION_PENDING = "GatewayRevocationPending"
    RELOAD_FAILED = "GatewayConfigReloadFailed"
    UPSTREAM_DOWN = "UpstreamDown"
    CERTIFICATE_EXPIRING = "TlsCertificateExpiringSoon"


class Number(NamedTuple):
    """A number of a rule, and between what it may lie. `is_duration`: seconds, which a person may write as `5m`."""

    least: float
    most: float
    is_duration: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleInfo:
    """One rule: `meaning` is a sentence; `numbers` are what it compares with, by name.

    `is_of_tenant` rules may be changed for a tenant. Of one that `tells_end` it is also told that it is over.
    What one that `is_once` has told is not told again, as far back as alerts are kept.
    """

    meaning: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    is_of_tenant: bool = True
    tells_end: bool = True
    is_once: bool = False


_DAY: Final = 86_400.0
_SHARE: Final = Number(0.0, 1.0)
_COUNT: Final = Number(1.0, 1e12)
_PERIOD: Final = Number(0.0, 400 * _DAY, is_duration=True)

RULES: Final[Mapping[RuleName, RuleInfo]] = {
    RuleName.APPROACHING_LIMIT: RuleInfo(
        meaning="A key has used most of a rate or a quota, or is refused because of one.",
        numbers={"rate_used": _SHARE, "quota_used": _SHARE},
    ),
    RuleName.UNUSUAL_VOLUME: RuleInfo(
        meaning="A key makes many more requests in an hour than in its busiest hour of the past days.",
        numbers={"factor": Number(1.0, 1e6), "requests_min": _COUNT, "history_min": _PERIOD},
    ),
    RuleName.AUTH_FAILURES: RuleInfo(
        meaning="Authentication keeps failing: with one key, with the keys of one tenant, or from one network.",
        numbers={"per_key": _COUNT, "per_tenant": _COUNT, "per_network": _COUNT},
    ),
    RuleName.EXPIRING: RuleInfo(
        meaning="A key expires soon: told once for each of `policies.reminders`.",
        tells_end=False,
        is_once=True,
    ),
    RuleName.ROTATION_OVERDUE: RuleInfo(
        meaning="A key should have been rotated, as `policies.rotation` says.", tells_end=False
    ),
    RuleName.UNEXPECTED_ADDRESS: RuleInfo(
        meaning="A key is used from a network it was never used from, or was refused because of its address.",
        numbers={"learning": _PERIOD, "refused_min": _COUNT},
    ),
    RuleName.HIGH_ERROR_RATE: RuleInfo(
        meaning="Many requests of a key fail: refused by us, failed on the way, or answered so by the upstream.",
        numbers={
            "denied_ratio": _SHARE,
            "failed_ratio": _SHARE,
            "upstream_ratio": _SHARE,
            "requests_min": _COUNT,
        },
    ),
    RuleName.AFTER_HOURS: RuleInfo(
        meaning="A key is used outside the business hours of its tenant.",
        numbers={"requests_min": _COUNT},
    ),
    RuleName.REVOKED_USED: RuleInfo(
        meaning="Somebody still holds a key that was revoked or suspended, and uses it.",
        numbers={"requests_min": _COUNT},
    ),
    RuleName.CLIENT_SIDE: RuleInfo(
        meaning="A key is used from a browser, where everybody can read it.",
        numbers={"requests_min": _COUNT},
    ),
    RuleName.UNEXPECTED_ENVIRONMENT: RuleInfo(
        meaning="A key was refused because it belongs to another environment than the route.",
        numbers={"requests_min": _COUNT},
    ),
    RuleName.STORE_UNAVAILABLE: RuleInfo(
        meaning="The key store does not answer, or cannot be written.", is_of_tenant=False
    ),
    RuleName.LIMITER_UNAVAILABLE: RuleInfo(
        meaning="The Redis that counts limits does not answer.", is_of_tenant=False
    ),
    RuleName.SNAPSHOT_STALE: RuleInfo(
        meaning="The snapshot of the keys is old or missing: a restart with a broken store would serve nobody.",
        numbers={"older_than": _PERIOD},
        is_of_tenant=False,
    ),
    RuleName.LOG_LOSS: RuleInfo(
        meaning="Requests are missing from the access log.", is_of_tenant=False
    ),
    RuleName.AUDIT_LOSS: RuleInfo(
        meaning="Logins or reloads are missing in the audit trail, or requests in the request log.",
        is_of_tenant=False,
    ),
    RuleName.AUDIT_TAMPERED: RuleInfo(
        meaning="The audit trail does not hold what was signed any more.", is_of_tenant=False
    ),
    RuleName.REVOCATION_PENDING: RuleInfo(
        meaning="A worker or another gateway may still serve by what was before a change of a key.",
        is_of_tenant=False,
    ),
    RuleName.RELOAD_FAILED: RuleInfo(
        meaning="A changed configuration was refused.", is_of_tenant=False
    ),
    RuleName.UPSTREAM_DOWN: RuleInfo(
        meaning="An upstream has no target that should get requests.", is_of_tenant=False
    ),
    RuleName.CERTIFICATE_EXPIRING: RuleInfo(
        meaning="A TLS certificate of a listener expires soon, or has expired.",
        numbers={"within": _PERIOD},
        is_of_tenant=False,
    ),
}
