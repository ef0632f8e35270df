"""Step 4: is there room for this request?

Knows that all limits of a request are drawn in one atomic act, or none. It must not know how buckets are counted.
"""

from __future__ import annotations

from collections.abc import Awaitable

from gateway.domain.denial import Denial, Reason
from gateway.domain.limits import Claim, Concurrency, Grant, Quota
from gateway.domain.rate_headers import policy_name
from gateway.pipeline.values import Admission, Permit
from gateway.ports import Limiter, LimiterUnavailable


def limit(permit: Permit, limiter: Limiter) -> Admission | Denial | Awaitable[Admission | Denial]:
    """Draw on every bucket of the key, its tenant and the route; an awaitable when the limiter is remote."""
    if not permit.claims:
        return Admission(permit, None)
    try:
        grant = limiter.acquire(permit.claims)
    except LimiterUnavailable as error:
        return _unavailable(error)
    if isinstance(grant, Grant):
        return _judge(permit, grant)
    return _later(permit, grant)


async def _later(permit: Permit, pending: Awaitable[Grant]) -> Admission | Denial:
    try:
        return _judge(permit, await pending)
    except LimiterUnavailable as error:
        return _unavailable(error)


def _unavailable(error: LimiterUnavailable) -> Denial:
    """Refuse what nobody could count: a limit that holds only while all is well is none."""
    return Denial(reason=Reason.LIMITER_UNAVAILABLE, retry_after_seconds=1, internal=str(error))


def _judge(permit: Permit, grant: Grant) -> Admission | Denial:
    refused = grant.refused
    if refused is None:
        return Admission(permit, grant)
    return Denial(
        reason=refusal_reason(refused),
        retry_after_seconds=grant.retry_after_seconds,
        violated_policies=(policy_name(refused),),
        limit=refused.rule.limit,
        remaining=0,
        reset_seconds=grant.retry_after_seconds,
        grant=grant,
        internal=refused.bucket,
    )


def refusal_reason(refused: Claim) -> Reason:
    """Return why a request is refused that this claim has no room for."""
    if isinstance(refused.rule, Quota):
        return Reason.QUOTA_EXCEEDED
    if isinstance(refused.rule, Concurrency):
        return Reason.CONCURRENCY_LIMITED
    return Reason.RATE_LIMITED
