"""Certificates for tests: made on the spot by an authority that nobody else trusts, and written as PEM files."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Issued:
    """A certificate (with its chain) and its private key, each a PEM file."""

    certificate: Path
    key: Path


def authority(name: str = "Test authority") -> trustme.CA:
    """Return a new root authority called `name`."""
    return trustme.CA(organization_name=name)


def trust(folder: Path, ca: trustme.CA, name: str = "ca.pem") -> Path:
    """Write the certificate of `ca`; return the file that a client is told to trust."""
    path = folder / name
    ca.cert_pem.write_to_path(path)
    return path


def issue(
    folder: Path,
    ca: trustme.CA,
    *names: str,
    file: str = "server",
    valid_days: float = 90,
    common_name: str | None = None,
) -> Issued:
    """Issue a certificate for host names and addresses; `valid_days` below zero: it has expired by so many.

    One for a client may have a `common_name` instead of any of them. Writes `<file>.pem` and `<file>.key`.
    """
    ends = datetime.now(UTC) + timedelta(days=valid_days)
    begins = ends - timedelta(days=365)
    made = ca.issue_cert(*names, not_before=begins, not_after=ends, common_name=common_name)
    issued = Issued(folder / f"{file}.pem", folder / f"{file}.key")
    issued.certificate.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
    made.private_key_pem.write_to_path(issued.key)
    issued.key.chmod(0o600)
    return issued


def server_context(
    issued: Issued, *, clients: trustme.CA | None = None, alpn: Sequence[str] = ()
) -> ssl.SSLContext:
    """Return what a server needs; with `clients`, it demands a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def client_context(ca: trustme.CA, *, issued: Issued | None = None) -> ssl.SSLContext:
    """Return what a client needs that trusts `ca` alone, and presents `issued` if it is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(context)
    if issued is not None:
        context.load_cert_chain(issued.certificate, issued.key)
    return context
