"""Whether PEM files hold what the configuration says that they hold.

Knows files and OpenSSL's complaints, and says which file is wrong and how: OpenSSL does not. It must not know which key
of the configuration names a file.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gateway.domain.validity import Validity, validity_of

PEM_BYTES_MAX: Final = 8 * 2**20
"""Ten times the bundle of all public authorities: a wrong path to a big file shall not fill the memory."""

_CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)


class PemError(ValueError):
    """A file cannot be used; the text says how, without its path or content."""


class _EncryptedError(Exception):
    """OpenSSL asked for a passphrase."""


def read_certificates(path: Path) -> list[Validity]:
    """Return the validity of each certificate in a file, of which there is at least one; raise `PemError`."""
    found = _CERTIFICATE.findall(_read(path))
    if not found:
        raise PemError("holds no certificate in PEM form")
    try:
        return [validity_of(ssl.PEM_cert_to_DER_cert(text)) for text in found]
    except ValueError:
        raise PemError("holds a certificate that cannot be read") from None


def check_authorities(path: Path) -> list[Validity]:
    """Return the validity of each authority in a file; raise `PemError` if it cannot be trusted."""
    found = read_certificates(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise PemError(f"cannot be used: {_reason(error)}") from None
    return found


def check_key(certificate: Path, key: Path) -> None:
    """Raise `PemError` about the file `key` unless it holds the key of `certificate`, which can be read."""
    if "PRIVATE KEY-----" not in _read(key):
        raise PemError("holds no private key in PEM form")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
            certificate, key, password=_never_ask
        )
    except _EncryptedError:
        hint = "`openssl pkey -in KEY -out NEW`"
        raise PemError(f"is encrypted: write it without a passphrase ({hint})") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise PemError("is the key of another certificate") from None
        raise PemError(f"cannot be used: {_reason(error)}") from None


def staleness(validity: Validity, now: float) -> str:
    """Return why a certificate is not valid at `now`, empty if it is."""
    if now > validity.ends_at:
        return f"has expired on {_day(validity.ends_at)}"
    if now < validity.begins_at:
        return f"is not valid before {_day(validity.begins_at)}"
    return ""


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(PEM_BYTES_MAX + 1)
    except FileNotFoundError:
        raise PemError("does not exist") from None
    except OSError as error:
        raise PemError(f"cannot be read: {error.strerror}") from None
    if len(content) > PEM_BYTES_MAX:
        raise PemError(f"is larger than {PEM_BYTES_MAX} bytes")
    return content.decode("ascii", "replace")


def _never_ask() -> str:
    # Without this OpenSSL would ask on the terminal.
    raise _EncryptedError


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "OpenSSL cannot read it").replace("_", " ").lower()
