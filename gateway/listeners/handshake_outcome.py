"""How a TLS handshake ended, in a closed set of words.

Knows OpenSSL's reasons. It must not know connections or metrics.
"""

from __future__ import annotations

import ssl
from typing import Final

FULL: Final = "full"
RESUMED: Final = "resumed"
TIMEOUT: Final = "timeout"
CLOSED: Final = "closed"
TOO_MANY: Final = "too_many"
REFUSED: Final = "refused"
PLAIN_HTTP: Final = "plain_http"
NOT_TLS: Final = "not_tls"
_VERSION: Final = "version"
_CIPHER: Final = "cipher"
_UNKNOWN_NAME: Final = "unknown_name"
_CLIENT_CERTIFICATE: Final = "client_certificate"
_CLIENT_ALERT: Final = "client_alert"
_OTHER: Final = "other"

OUTCOMES: Final = {
    FULL: "succeeded with a new session",
    RESUMED: "succeeded by a session ticket",
    TIMEOUT: "was not complete in time",
    CLOSED: "the client left",
    TOO_MANY: "not begun: there were `handshakes_max` already",
    REFUSED: "the connection was over a limit or its PROXY header was wrong",
    PLAIN_HTTP: "the client spoke HTTP without TLS, and got a 400",
    NOT_TLS: "the client spoke something else",
    _VERSION: "no common version of TLS",
    _CIPHER: "no common cipher, group or signature algorithm",
    _UNKNOWN_NAME: "no certificate covers the host that the client named",
    _CLIENT_CERTIFICATE: "the client's certificate is missing or not valid",
    _CLIENT_ALERT: "the client broke off, for instance because it does not trust our certificate",
    _OTHER: "any other violation of the protocol",
}
"""Outcome -> what it means."""

_BY_REASON: Final = {
    "UNSUPPORTED_PROTOCOL": _VERSION,
    "VERSION_TOO_LOW": _VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _VERSION,
    "INAPPROPRIATE_FALLBACK": _VERSION,
    "NO_SHARED_CIPHER": _CIPHER,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": _CIPHER,
    "NO_SUITABLE_KEY_SHARE": _CIPHER,
    "NO_SHARED_SIGNATURE_ALGORITHMS": _CIPHER,
    "NO_SUITABLE_GROUPS": _CIPHER,
    "CALLBACK_FAILED": _UNKNOWN_NAME,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": _CLIENT_CERTIFICATE,
    "CERTIFICATE_VERIFY_FAILED": _CLIENT_CERTIFICATE,
    "HTTP_REQUEST": PLAIN_HTTP,
    "WRONG_VERSION_NUMBER": NOT_TLS,
}


def outcome_of(error: ssl.SSLError) -> str:
    """Return the word for a failed handshake."""
    reason: str = (
        getattr(error, "reason", None) or ""
    )  # None for some, whatever its declaration says
    known = _BY_REASON.get(reason)
    if known is not None:
        return known
    return _CLIENT_ALERT if "_ALERT_" in reason else _OTHER
