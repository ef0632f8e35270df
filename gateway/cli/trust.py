"""Whom a command believes to be the gateway when it speaks TLS to the admin listener.

Knows authorities, and that whoever can read the configuration needs none: the certificate that it names is the one.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

_END: Final = "-----END CERTIFICATE-----"


class Untrusted(Exception):
    """A file cannot be used; the text says which and why."""


def by_authority(ca: Path | None, identity: Path | None) -> ssl.SSLContext:
    """Believe what the authorities in `ca` vouch for (the system's if None), for the host that was called.

    `identity` holds the certificate and key that the gateway may ask for. Raises `Untrusted`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as error:
            raise Untrusted(f"--ca {ca}: {_why(error)}") from error
    _show(context, identity)
    return context


def by_file(certificate: Path, identity: Path | None) -> ssl.SSLContext:
    """Believe whoever holds the key of the certificate in the file, under whatever name it was called."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        # Only the first: the others of a chain issue certificates for other people, too.
        first = certificate.read_text("ascii").partition(_END)[0] + _END
        context.load_verify_locations(cadata=first)
    except (OSError, ValueError) as error:
        raise Untrusted(f"{certificate}: {_why(error)}") from error
    _show(context, identity)
    return context


def _show(context: ssl.SSLContext, identity: Path | None) -> None:
    if identity is None:
        return
    try:
        context.load_cert_chain(identity)
    except OSError as error:
        raise Untrusted(f"--certificate {identity}: {_why(error)}") from error


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) or not isinstance(error, OSError):
        return "cannot be read as certificates in PEM form"
    return error.strerror or str(error)
