"""The certificates of a listener: read from files, tried out, chosen by the name that a client asks for.

Knows what makes a handshake safe (versions, ciphers, client certificates) and which certificate covers which host
(RFC 9525 section 6.3: names of the certificate's subjectAltName, a wildcard stands for one label). It must not know
connections.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from gateway.config import pem
from gateway.domain.distinguished_name import write_name
from gateway.domain.networks import normalise_address

CIPHERS_1_2: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2 with forward secrecy and authenticated encryption only (RFC 9325 section 4.2); TLS 1.3 has nothing else."""

SUBJECT_BYTES_MAX: Final = 2048
"""A longer subject is not told to the upstream: cut off, it could be somebody else's."""

_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which `ssl` does not name
_HANDSHAKE_STEPS_MAX: Final = 10


class CertificateError(Exception):
    """A certificate, key or CA file cannot be used; the text says which and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeRules:
    """What the operator decided; times in seconds. Empty header names send nothing."""

    minimum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    client_mode: Literal["off", "optional", "required"] = "off"
    client_ca: Path | None = None
    refuses_unknown_names: bool = False
    timeout_seconds: float = 10.0
    handshakes_max: int = 1024
    subject_header: bytes = b""
    fingerprint_header: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate with its key, ready for handshakes.

    `hosts` are its names in lower case, an IPv6 address in brackets; `expires_at` is in epoch seconds.
    """

    path: Path
    hosts: tuple[str, ...]
    expires_at: float
    context: ssl.SSLContext

    @property
    def label(self) -> str:
        """The name that stands in metrics and logs."""
        return self.hosts[0] if self.hosts else self.path.name


def read_certificate(path: Path, key: Path, rules: HandshakeRules) -> Certificate:
    """Read a chain and its key (PEM, the leaf first) and try them in a handshake with ourselves.

    Raises `CertificateError`.
    """
    _demand(path, lambda: pem.read_certificates(path))
    _demand(key, lambda: pem.check_key(path, key))
    context = _context(rules)
    try:
        context.load_cert_chain(path, key)
        told = _tried(context, path)
    except (ssl.SSLError, OSError) as error:
        raise CertificateError(f"{path}: cannot be used ({error})") from error
    _ask_clients(context, rules)
    return Certificate(
        path=path,
        hosts=tuple(_hosts(told.get("subjectAltName", ()))),
        expires_at=ssl.cert_time_to_seconds(told["notAfter"]),
        context=context,
    )


def _demand(path: Path, check: Callable[[], object]) -> None:
    try:
        check()
    except pem.PemError as error:
        raise CertificateError(f"{path}: {error}") from error


def _context(rules: HandshakeRules) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = rules.minimum_version
    context.set_ciphers(CIPHERS_1_2)
    # Renegotiation lets a client make the server work for nothing, compression tells secrets by their length.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _ask_clients(context: ssl.SSLContext, rules: HandshakeRules) -> None:
    ca = rules.client_ca
    if rules.client_mode == "off" or ca is None:
        return
    _demand(ca, lambda: pem.check_authorities(ca))
    context.load_verify_locations(cafile=ca)
    is_required = rules.client_mode == "required"
    context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL


def _tried(context: ssl.SSLContext, path: Path) -> dict[str, Any]:
    """Shake hands with ourselves in memory, and return what a client was shown.

    It proves that key and chain work together, and is the way in which `ssl` tells names and dates. The file itself is
    what is trusted, whatever its dates: an expired certificate is served, with a warning, as clients may accept it.
    """
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    trusting.load_verify_locations(cafile=path)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(down, up)
    waiting = {client, context.wrap_bio(up, down, server_side=True)}
    for _ in range(_HANDSHAKE_STEPS_MAX):
        for end in sorted(waiting, key=lambda end: end.server_side):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.discard(end)
    return dict(client.getpeercert() or {})


def _hosts(names: Sequence[tuple[str, str]]) -> list[str]:
    hosts = []
    for kind, value in names:
        if kind == "DNS":
            hosts.append(value.lower().removesuffix("."))
        elif kind == "IP Address":
            address = normalise_address(value)
            hosts.append(f"[{address}]" if ":" in address else address)
    return hosts


class Terms:
    """Under what a handshake is made: never changed, only replaced as a whole, so that a handshake cannot see halves.

    The first certificate is for clients that name no host, and for hosts that no certificate covers unless those are
    refused.
    """

    __slots__ = ("_by_host", "certificates", "rules")

    def __init__(self, certificates: Sequence[Certificate], rules: HandshakeRules) -> None:
        self.certificates = tuple(certificates)
        self.rules = rules
        self._by_host: dict[str, Certificate] = {}
        for certificate in certificates:
            for host in certificate.hosts:
                self._by_host.setdefault(host, certificate)
        self.certificates[0].context.sni_callback = self._asked_for

    def choose(self, host: str) -> Certificate | None:
        """Return the certificate for a lower-case host: by its exact name, then by wildcard, then the first one."""
        found = self._by_host.get(host) or self._by_host.get("*." + host.partition(".")[2])
        if found is None and not self.rules.refuses_unknown_names:
            return self.certificates[0]
        return found

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """Return the server's end of a new handshake, between two buffers."""
        return self.certificates[0].context.wrap_bio(incoming, outgoing, server_side=True)

    def _asked_for(
        self, tls: ssl.SSLSocket | ssl.SSLObject, host: str | None, _context: ssl.SSLContext
    ) -> int | None:
        if host is None:
            return None
        chosen = self.choose(host.lower().removesuffix("."))
        if chosen is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        tls.context = chosen.context
        return None


class Security:
    """What a handshake settled: for which hosts its connection may be used, and which certificate the client has.

    `fields` tell the upstream about a verified client certificate, as lines ending in CRLF.
    """

    __slots__ = ("_context", "_host", "_terms", "fields")

    def __init__(self, terms: Terms, tls: ssl.SSLObject) -> None:
        self._terms = terms
        self._context = tls.context
        self._host = ""
        self.fields = _client_fields(terms.rules, tls)

    def covers(self, host: str) -> bool:
        """Tell whether the handshake would have been the same for `host` (RFC 9110 section 7.4).

        It would not if another certificate is meant for that host, or none.
        """
        if host == self._host:
            return True
        chosen = self._terms.choose(host)
        if chosen is None or chosen.context is not self._context:
            return False
        self._host = host
        return True


def _client_fields(rules: HandshakeRules, tls: ssl.SSLObject) -> bytes:
    if not rules.subject_header and not rules.fingerprint_header:
        return b""
    # Both are empty without a certificate, and one that was not verified never gets this far.
    told, encoded = tls.getpeercert(), tls.getpeercert(binary_form=True)
    if not told or not encoded:
        return b""
    lines = b""
    subject = write_name(told.get("subject", ())).encode("ascii")  # type: ignore[arg-type]
    if rules.subject_header and len(subject) <= SUBJECT_BYTES_MAX:
        lines = b"%b: %b\r\n" % (rules.subject_header, subject)
    if rules.fingerprint_header:
        lines += b"%b: %b\r\n" % (rules.fingerprint_header, fingerprint(encoded).encode("ascii"))
    return lines


def fingerprint(encoded: bytes) -> str:
    """Return the SHA-256 of a certificate in DER form, as lower-case hexadecimal digits."""
    return sha256(encoded).hexdigest()
