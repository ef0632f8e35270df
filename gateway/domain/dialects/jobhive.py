"""The `jobhive` dialect: `{"success":false,"error":{"code","message","details"},"meta":{...}}`.

The vendor's text gives one body byte for byte (no key) and shows no `meta` there; another page of
the vendor promises `meta` on every answer. Both are kept: the given body stays as it is, all others
carry `meta` (see `Extras`). Codes that the vendor does not document follow its spelling.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.dialects.definition import Definition, Phrase, Slot, snake_codes

_INVALID: Final = Phrase(code="INVALID_API_KEY", message="The API key is invalid.")

JOBHIVE: Final = Definition(
    name="jobhive",
    content_type=b"application/json",
    envelope={
        "success": False,
        "error": {
            "code": Slot.CODE,
            "message": Slot.MESSAGE,
            "details": {
                "required_permissions": Slot.REQUIRED_SCOPES,
                "client_address": Slot.CLIENT_ADDRESS,
                "allowed_methods": Slot.ALLOW,
                "retry_after": Slot.RETRY_AFTER,
            },
        },
        "meta": {
            "timestamp": Slot.TIMESTAMP,
            "request_id": Slot.REQUEST_ID,
            "documentation_url": Slot.DOCS_URL,
            "support_url": Slot.SUPPORT_URL,
        },
    },
    phrases={
        Reason.MISSING_CREDENTIALS: Phrase(
            code="AUTHENTICATION_REQUIRED",
            message="API key is required. Include 'Authorization: Bearer YOUR_API_KEY' header.",
            details={"header_missing": "Authorization"},
            is_exact=True,
        ),
        Reason.MALFORMED_CREDENTIALS: _INVALID,
        Reason.BAD_CHECKSUM: _INVALID,
        Reason.UNKNOWN_KEY: _INVALID,
        Reason.KEY_SUSPENDED: _INVALID,
        Reason.KEY_REVOKED: _INVALID,
        Reason.KEY_EXPIRED: Phrase(code="API_KEY_EXPIRED", message="The API key has expired."),
        Reason.INSUFFICIENT_SCOPE: Phrase(
            code="INSUFFICIENT_PERMISSIONS",
            message="The API key lacks a required permission.",
            naming="The API key lacks a required permission: {}.",
        ),
        Reason.IP_NOT_ALLOWED: Phrase(code="IP_NOT_ALLOWED"),
        Reason.QUOTA_EXCEEDED: Phrase(code="QUOTA_EXCEEDED"),
    },
    codes={
        status: code.upper() for status, code in snake_codes(s429="rate_limit_exceeded").items()
    },
    extras=frozenset({Slot.TIMESTAMP, Slot.REQUEST_ID, Slot.DOCS_URL, Slot.SUPPORT_URL}),
)
