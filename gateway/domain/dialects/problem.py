"""The `problem` dialect (RFC 9457), the default.

`type` is the page of the reason (`<docs_url>/reasons/<reason>`, without documentation
`urn:tollhouse:reason:<reason>`) and never changes. Limits use the types of the IETF RateLimit draft
where they fit, with its titles and its `violated-policies`: an exceeded rate, quota or concurrency
is `quota-exceeded` (the draft counts concurrent requests among the quota units), failing
authentications are `abnormal-usage-detected`. `code` tells our reason, so that nothing is lost.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.dialects.definition import Definition, Phrase, Slot

_REGISTRY: Final = "https://iana.org/assignments/http-problem-types#"
_QUOTA: Final = Phrase(
    problem_type=_REGISTRY + "quota-exceeded",
    title="Request cannot be satisfied as assigned quota has been exceeded",
)

PROBLEM: Final = Definition(
    name="problem",
    content_type=b"application/problem+json",
    envelope={
        "type": Slot.TYPE,
        "title": Slot.TITLE,
        "status": Slot.STATUS,
        "detail": Slot.MESSAGE,
        "instance": Slot.INSTANCE,
        "code": Slot.CODE,
        "request_id": Slot.REQUEST_ID,
        "required_scopes": Slot.REQUIRED_SCOPES,
        "client_address": Slot.CLIENT_ADDRESS,
        "retry_after": Slot.RETRY_AFTER,
        "violated-policies": Slot.VIOLATED_POLICIES,
        "support_url": Slot.SUPPORT_URL,
    },
    phrases={
        Reason.INSUFFICIENT_SCOPE: Phrase(naming="The API key lacks a required scope: {}."),
        Reason.IP_NOT_ALLOWED: Phrase(naming="The client address {} is not on the allowlist."),
        Reason.RATE_LIMITED: _QUOTA,
        Reason.QUOTA_EXCEEDED: _QUOTA,
        Reason.CONCURRENCY_LIMITED: _QUOTA,
        Reason.AUTH_THROTTLED: Phrase(
            problem_type=_REGISTRY + "abnormal-usage-detected",
            title="Request not satisfied due to detection of abnormal request pattern",
        ),
    },
)
