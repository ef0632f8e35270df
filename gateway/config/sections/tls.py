"""TLS on a listener: certificates, versions, client certificates, and what clients are told to insist on."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from gateway.config.sections.base import Applies, Section
from gateway.config.sections.values import Count, Duration, DurationOrOff, Flag, Label

FilePath = Annotated[str, Field(min_length=1), Label("path")]
OptionalFilePath = Annotated[str, Label("path or empty")]


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, float) else value  # YAML reads 1.2 as a number


Version = Annotated[
    Literal["1.2", "1.3"],
    BeforeValidator(_as_text),
    WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]}),
]


class CertificateFiles(Section):
    """A certificate and its key."""

    may_be_empty: ClassVar[bool] = False

    certificate: FilePath
    """PEM file: the certificate, then those that lead to a root which clients trust. A relative path
    starts at the folder of this file."""
    key: FilePath
    """PEM file with its private key, not encrypted; keep it readable for the gateway only."""


class ClientCertificates(Section):
    """Certificates that clients show."""

    mode: Literal["off", "optional", "required"] = "off"
    """`optional` checks the one that a client has, `required` refuses the handshake without one. A
    key is still needed where a route asks for it."""
    ca: OptionalFilePath = ""
    """PEM file of the authorities whose certificates are accepted. Only they: never the system's."""


class StrictTransportSecurity(Section):
    """Tells browsers to come with TLS only (RFC 6797)."""

    max_age: DurationOrOff = 0.0
    """How long a browser remembers it. 0 sends nothing, as a promise of months is made on purpose;
    then the upstream's own field passes."""
    include_subdomains: Flag = False
    """Whether it holds for every name below the host, too."""
    preload: Flag = False
    """Agree to be built into browsers; such lists ask for a year and `include_subdomains`, and
    leaving them takes months."""


class Tls(Section):
    """TLS 1.2 and 1.3 on a listener. Files are read again at each reload."""

    applies: ClassVar[Applies] = "hot"
    may_be_empty: ClassVar[bool] = False

    certificates: tuple[CertificateFiles, ...] = Field(min_length=1)
    """Certificates, chosen by the host that a client names (SNI): the exact name first, then a
    wildcard. The first is for clients that name none."""
    minimum_version: Version = "1.2"
    """Oldest version that is spoken; older ones than 1.2 are broken (RFC 8996). Of TLS 1.2 only
    ciphers with forward secrecy and authenticated encryption are offered."""
    unknown_names: Literal["default", "refuse"] = "default"
    """What a client gets that names a host which no certificate covers: the first certificate, or a
    refused handshake, so that scanners learn nothing."""
    client_certificates: ClientCertificates = Field(default_factory=ClientCertificates)
    """Certificates that clients show."""


class PublicTls(Tls):
    """TLS 1.2 and 1.3 on the public listener. Files are read again at each reload."""

    handshake_timeout: Duration = 10.0
    """Time for a handshake, within `head_timeout`."""
    handshakes_max: Count = 1024
    """Handshakes under way at once; further connections are closed. Bounds the memory that clients
    take before they have shown anything."""
    strict_transport_security: StrictTransportSecurity = Field(
        default_factory=StrictTransportSecurity
    )
    """Tells browsers to come with TLS only (RFC 6797), on every answer."""
