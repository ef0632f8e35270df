"""The `instaview` dialect: `{"success","data","error":{"code","message","details"},"timestamp"}`.

The general envelope of the vendor's own pages. One code covers missing, invalid, revoked and
expired keys; a suspended key has a code of its own. The request id stands in `details`.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.dialects.definition import Definition, Phrase, Slot, snake_codes

INVALID_MESSAGE: Final = "The provided API key is invalid or has been revoked"
SUSPENDED_MESSAGE: Final = "The provided API key is temporarily suspended"
SCOPE_NAMING: Final = "Insufficient permissions: Required scope {} not found"
ADDRESS_NAMING: Final = "Access from IP address {} is not allowed"
COMPANY_MESSAGE: Final = "The API key may not act for this company"

_INVALID: Final = Phrase(code="INVALID_API_KEY", message=INVALID_MESSAGE)

INSTAVIEW: Final = Definition(
    name="instaview",
    content_type=b"application/json",
    envelope={
        "success": False,
        "data": None,
        "error": {
            "code": Slot.CODE,
            "message": Slot.MESSAGE,
            "details": {
                "requiredScopes": Slot.REQUIRED_SCOPES,
                "ipAddress": Slot.CLIENT_ADDRESS,
                "allowedMethods": Slot.ALLOW,
                "retryAfter": Slot.RETRY_AFTER,
                "requestId": Slot.REQUEST_ID,
                "documentationUrl": Slot.DOCS_URL,
                "supportUrl": Slot.SUPPORT_URL,
            },
        },
        "timestamp": Slot.TIMESTAMP,
    },
    phrases={
        Reason.MISSING_CREDENTIALS: _INVALID,
        Reason.MALFORMED_CREDENTIALS: _INVALID,
        Reason.BAD_CHECKSUM: _INVALID,
        Reason.UNKNOWN_KEY: _INVALID,
        Reason.KEY_EXPIRED: _INVALID,
        Reason.KEY_REVOKED: _INVALID,
        Reason.KEY_SUSPENDED: Phrase(code="API_KEY_SUSPENDED", message=SUSPENDED_MESSAGE),
        Reason.INSUFFICIENT_SCOPE: Phrase(
            code="INSUFFICIENT_PERMISSIONS",
            message="Insufficient permissions",
            naming=SCOPE_NAMING,
        ),
        Reason.IP_NOT_ALLOWED: Phrase(
            code="IP_NOT_ALLOWED",
            message="Access from this IP address is not allowed",
            naming=ADDRESS_NAMING,
        ),
        Reason.CROSS_TENANT: Phrase(code="COMPANY_ACCESS_DENIED", message=COMPANY_MESSAGE),
        Reason.TENANT_REQUIRED: Phrase(
            code="COMPANY_ID_REQUIRED", message="The request must name a company"
        ),
        Reason.RATE_LIMITED: Phrase(message="Rate limit exceeded"),
        Reason.QUOTA_EXCEEDED: Phrase(code="QUOTA_EXCEEDED"),
    },
    codes={
        status: code.upper() for status, code in snake_codes(s429="rate_limit_exceeded").items()
    },
    extras=frozenset({Slot.REQUEST_ID, Slot.DOCS_URL, Slot.SUPPORT_URL}),
)
