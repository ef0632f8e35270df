"""The `hirepanda` dialect: `{"error":{"code","message","status"}}`.

The vendor's text gives one body byte for byte (missing or invalid key) and four codes; a revoked or
suspended key has no code of its own and is `unauthorized`. The given body stays as it is; all
others also carry `request_id` (see `Extras`).
"""

from __future__ import annotations

from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.dialects.definition import Definition, Phrase, Slot, snake_codes

_UNAUTHORIZED: Final = Phrase(
    code="unauthorized", message="Invalid or missing API key", is_exact=True
)

HIREPANDA: Final = Definition(
    name="hirepanda",
    content_type=b"application/json",
    envelope={
        "error": {
            "code": Slot.CODE,
            "message": Slot.MESSAGE,
            "status": Slot.STATUS,
            "required_scopes": Slot.REQUIRED_SCOPES,
            "retry_after": Slot.RETRY_AFTER,
            "request_id": Slot.REQUEST_ID,
            "documentation_url": Slot.DOCS_URL,
            "support_url": Slot.SUPPORT_URL,
        }
    },
    phrases={
        Reason.MISSING_CREDENTIALS: _UNAUTHORIZED,
        Reason.MALFORMED_CREDENTIALS: _UNAUTHORIZED,
        Reason.BAD_CHECKSUM: _UNAUTHORIZED,
        Reason.UNKNOWN_KEY: _UNAUTHORIZED,
        Reason.KEY_SUSPENDED: _UNAUTHORIZED,
        Reason.KEY_REVOKED: _UNAUTHORIZED,
        Reason.KEY_EXPIRED: Phrase(code="key_expired", message="API key has expired"),
        Reason.INSUFFICIENT_SCOPE: Phrase(
            message="Valid key but insufficient permissions",
            naming="Valid key but insufficient permissions: requires {}",
        ),
        Reason.IP_NOT_ALLOWED: Phrase(
            message="Valid key but the IP address is not whitelisted",
            naming="Valid key but the IP address {} is not whitelisted",
        ),
        Reason.RATE_LIMITED: Phrase(message="Too many requests"),
    },
    codes=snake_codes(s429="rate_limited"),
    extras=frozenset({Slot.REQUEST_ID, Slot.DOCS_URL, Slot.SUPPORT_URL}),
)
