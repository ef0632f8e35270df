"""The `instaview_nest` dialect: NestJS's `{"message","error","statusCode"}`.

The second shape of the vendor's own pages; a 429 has its members in another order, with the bucket.
There `retryAfter` is the same number as `Retry-After`, and `limit`, `remaining` and `reset` (epoch
seconds) always stand, because clients read them as numbers: `limit` is 0 when no bucket refused.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.dialects import instaview
from gateway.domain.dialects.definition import Definition, Phrase, Slot

_INVALID: Final = Phrase(message=instaview.INVALID_MESSAGE)

INSTAVIEW_NEST: Final = Definition(
    name="instaview_nest",
    content_type=b"application/json",
    envelope={
        "message": Slot.MESSAGE,
        "error": Slot.STATUS_TEXT,
        "statusCode": Slot.STATUS,
        "requestId": Slot.REQUEST_ID,
        "documentationUrl": Slot.DOCS_URL,
        "supportUrl": Slot.SUPPORT_URL,
    },
    envelopes={
        429: {
            "statusCode": Slot.STATUS,
            "message": Slot.MESSAGE,
            "error": Slot.STATUS_TEXT,
            "retryAfter": Slot.RETRY_AFTER,
            "limit": Slot.LIMIT,
            "remaining": Slot.REMAINING,
            "reset": Slot.RESET_AT,
            "requestId": Slot.REQUEST_ID,
            "documentationUrl": Slot.DOCS_URL,
            "supportUrl": Slot.SUPPORT_URL,
        }
    },
    phrases={
        Reason.MISSING_CREDENTIALS: Phrase(message="Unauthorized"),
        Reason.MALFORMED_CREDENTIALS: _INVALID,
        Reason.BAD_CHECKSUM: _INVALID,
        Reason.UNKNOWN_KEY: _INVALID,
        Reason.KEY_EXPIRED: _INVALID,
        Reason.KEY_REVOKED: _INVALID,
        Reason.KEY_SUSPENDED: Phrase(message=instaview.SUSPENDED_MESSAGE),
        Reason.INSUFFICIENT_SCOPE: Phrase(
            message="Insufficient permissions", naming=instaview.SCOPE_NAMING
        ),
        Reason.IP_NOT_ALLOWED: Phrase(
            message="Access from this IP address is not allowed", naming=instaview.ADDRESS_NAMING
        ),
        Reason.CROSS_TENANT: Phrase(message=instaview.COMPANY_MESSAGE),
        Reason.TENANT_REQUIRED: Phrase(message="The request must name a company"),
        Reason.RATE_LIMITED: Phrase(message="Rate limit exceeded"),
    },
    extras=frozenset({Slot.REQUEST_ID, Slot.DOCS_URL, Slot.SUPPORT_URL}),
)
