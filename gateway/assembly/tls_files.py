"""From the files that a configuration names to terms of handshakes, tried but not in use yet.

Knows where the configuration names files and what its words mean to OpenSSL. It must not know who uses the terms.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.assembly.errors import CannotStart
from gateway.config import model
from gateway.config.places import anchored
from gateway.listeners.certificates import (
    Certificate,
    CertificateError,
    HandshakeRules,
    Terms,
    read_certificate,
)

_LISTENERS: Final = ("public", "admin", "metrics", "delivery", "forward_auth")
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Unusable(CannotStart):
    """Files cannot be used; `faults` are the keys that name them, such as `listeners.public.tls`, and what is wrong."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{key}: {text}" for key, text in faults))


class Prepared:
    """Terms by listener, each with a digest of what it was read from, and the configuration that names the files."""

    __slots__ = ("by_listener", "config")

    def __init__(
        self, config: model.Config, by_listener: Mapping[str, tuple[Terms, bytes]]
    ) -> None:
        self.config = config
        self.by_listener = by_listener


def prepare(config: model.Config, config_path: Path, known: Prepared | None = None) -> Prepared:
    """Read and try all files; may run in a thread. Raises `Unusable` with every fault.

    Terms that would be the same are taken from `known`, so that clients can still resume their sessions.
    """
    made: dict[str, tuple[Terms, bytes]] = {}
    faults: list[tuple[str, str]] = []
    for name, section in _sections(config):
        rules = _rules(section, config, config_path)
        key = f"listeners.{name}.tls"
        try:
            # The digest first: a file that changes meanwhile is then seen the next time.
            digest = _digest(_files(section, config_path), rules)
        except CertificateError as error:
            faults.append((key, str(error)))
            continue
        before = None if known is None else known.by_listener.get(name)
        if before is not None and before[1] == digest:
            made[name] = before
        elif certificates := _certificates(section, config_path, rules, key, faults):
            made[name] = Terms(certificates, rules), digest
    if faults:
        raise Unusable(faults)
    return Prepared(config, made)


def _sections(config: model.Config) -> Iterator[tuple[str, model.Tls]]:
    for name in _LISTENERS:
        section: model.Tls | None = getattr(config.listeners, name).tls
        if section is not None:
            yield name, section


def _files(section: model.Tls, config_path: Path) -> Iterator[Path]:
    for pair in section.certificates:
        yield anchored(config_path, pair.certificate)
        yield anchored(config_path, pair.key)
    if section.client_certificates.ca:
        yield anchored(config_path, section.client_certificates.ca)


def _digest(read: Iterator[Path], rules: HandshakeRules) -> bytes:
    digest = sha256(repr(rules).encode())
    for file in read:
        try:
            content = file.read_bytes()
        except OSError as error:
            raise CertificateError(f"{file}: {error.strerror or error}") from error
        digest.update(sha256(content).digest())
    return digest.digest()


def _certificates(
    section: model.Tls,
    config_path: Path,
    rules: HandshakeRules,
    key: str,
    faults: list[tuple[str, str]],
) -> list[Certificate]:
    """Return all certificates of a section; what is wrong with any goes to `faults`."""
    read = []
    for n, pair in enumerate(section.certificates):
        chain, secret = (
            anchored(config_path, pair.certificate),
            anchored(config_path, pair.key),
        )
        try:
            read.append(read_certificate(chain, secret, rules))
        except CertificateError as error:
            faults.append((f"{key}.certificates[{n}]", str(error)))
    return read


def _rules(section: model.Tls, config: model.Config, config_path: Path) -> HandshakeRules:
    clients = section.client_certificates
    common = HandshakeRules(
        minimum_version=_VERSIONS[section.minimum_version],
        client_mode=clients.mode,
        client_ca=anchored(config_path, clients.ca) if clients.ca else None,
        refuses_unknown_names=section.unknown_names == "refuse",
    )
    if not isinstance(section, model.PublicTls):
        return common
    headers = config.identity_headers
    return replace(
        common,
        timeout_seconds=section.handshake_timeout,
        handshakes_max=section.handshakes_max,
        subject_header=headers.certificate_subject.encode("ascii"),
        fingerprint_header=headers.certificate_fingerprint.encode("ascii"),
    )
