"""TLS towards upstreams: whom to trust, who we are, what is spoken, and what went wrong in words.

Knows OpenSSL through `ssl`. It must not know when connections are made or what crosses them.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HTTP_1: Final = "http/1.1"
"""The only protocol that is offered (ALPN, RFC 7301)."""

_ADVICE: Final = {
    "WRONG_VERSION_NUMBER": "what it speaks is not TLS",
    "UNSUPPORTED_PROTOCOL": "its newest version of TLS is older than `minimum_version`",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it refuses our versions of TLS",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust our certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it demands a certificate: set `tls.certificate`",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refuses our certificate, ciphers or the lack of one",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refuses our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": f"it does not speak {HTTP_1}",
}
"""What the commonest of OpenSSL's reasons mean here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """What the operator decided. Without `ca` the system's authorities are trusted; `key` None: it is in
    `certificate`."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    minimum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    is_verifying: bool = True


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return what connections share. Raises `OSError` (as `ssl.SSLError` is one) for files that cannot be used."""
    context = ssl.create_default_context(cafile=settings.ca)
    context.minimum_version = settings.minimum_version
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([HTTP_1])
    if settings.certificate is not None:
        # An empty passphrase, because OpenSSL would ask for one on the terminal.
        context.load_cert_chain(settings.certificate, settings.key, password="")
    if not settings.is_verifying:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def protocol_fault(chosen: str | None) -> str:
    """Return why the protocol that the upstream chose cannot be spoken; empty if it can.

    An upstream that knows no ALPN chooses none, and speaks HTTP/1.1 (RFC 9112).
    """
    if chosen in (None, HTTP_1):
        return ""
    return f"TLS: it chose the protocol {chosen!r}, and only {HTTP_1} is spoken"


def cause(error: OSError) -> str:
    """Return why a connection failed, for the log; never empty."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        reason = (
            getattr(error, "reason", None) or ""
        )  # not there at all when Python itself raised it
        text = reason.replace("_", " ").lower() or str(error)
        return f"TLS: {text} ({_ADVICE[reason]})" if reason in _ADVICE else f"TLS: {text}"
    return str(error) or "the connection ended during the TLS handshake"
