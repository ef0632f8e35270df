"""Who may read what is secret, and whether it is strong: files, peppers, formats of keys."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from math import log2
from pathlib import Path
from typing import Final

from gateway.assembly.records import audit_files
from gateway.cli.checkup.finding import Finding, Patient, fail, ok, warn
from gateway.config.model import Listeners, Tls

_OTHERS: Final = stat.S_IRWXO
_WRITING: Final = stat.S_IWGRP | stat.S_IWOTH
_STRONG_BITS: Final = 256
_PEPPER_BYTES: Final = 32


def secret_files(patient: Patient) -> Iterator[Finding]:
    """Nobody but the gateway and its group reads secrets; nobody else changes the configuration."""
    secret, public = _named_files(patient)
    texts = _configuration_files(patient)
    read_by_all = [path for path in (*secret, *_inside(patient)) if _mode(path) & _OTHERS]
    for path in read_by_all:
        yield fail(
            "secret files",
            f"{path} can be read by every user of this host (mode {_mode(path):04o})",
            f"chmod o= {path}; in Kubernetes, defaultMode: 0400 of the volume",
        )
    changed = [path for path in (*texts, *secret, *public) if _mode(path) & _WRITING]
    for path in changed:
        yield warn(
            "secret files",
            f"{path} can be changed by other users (mode {_mode(path):04o})",
            f"chmod go-w {path}",
        )
    if not read_by_all and not changed:
        yield ok("secret files", f"{len(secret)} files of secrets, none of them open to others")


def _configuration_files(patient: Patient) -> list[Path]:
    patterns = patient.sources.patterns.values()
    return [patient.path, *(Path(name) for found in patterns for name in found)]


def _named_files(patient: Patient) -> tuple[list[Path], list[Path]]:
    """Return the files of secrets, and those that anybody may read: certificates."""
    public: set[Path] = set()
    listeners = patient.config.listeners
    for name in Listeners.model_fields:
        section: Tls | None = getattr(listeners, name).tls
        if section is not None:
            public |= {patient.anchored(p.certificate) for p in section.certificates if p.key}
            if section.client_certificates.ca:
                public.add(patient.anchored(section.client_certificates.ca))
    for upstream in patient.config.upstreams.values():
        named = (upstream.tls.ca, upstream.tls.certificate if upstream.tls.key else "")
        public |= {patient.anchored(name) for name in named if name}
    texts = {path.resolve() for path in _configuration_files(patient)}
    found = [path for path in patient.sources.files if path.resolve() not in texts]
    secret = [path for path in found if path not in public and path.exists()]
    return secret, [path for path in public if path.exists()]


def _inside(patient: Patient) -> Iterator[Path]:
    """Yield the files that the gateway makes for itself."""
    made = (
        *(Path(f"{patient.store}{suffix}") for suffix in ("", "-wal", "-shm")),
        audit_files(patient.config, patient.path).key_path,
        patient.anchored(patient.config.request_log.path),
    )
    yield from (path for path in made if path.exists())


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def peppers(patient: Patient) -> Iterator[Finding]:
    """Peppers are long, and no two are the same."""
    section = patient.config.peppers
    secrets = {name: secret.get_secret_value() for name, secret in section.keys.items()}
    for name, secret in secrets.items():
        if len(set(secret)) < _PEPPER_BYTES // 4:
            yield warn(
                "peppers",
                f"pepper {name} repeats few characters: it does not look random",
                "make one with `tollhouse pepper`, and rotate to it (docs/how-to/rotate-the-pepper.md)",
            )
    if len(set(secrets.values())) < len(secrets):
        yield fail(
            "peppers", "two peppers are the same", "a rotation that changes nothing: make a new one"
        )
    shortest = min(len(secret.encode()) for secret in secrets.values())
    yield ok("peppers", f"{len(secrets)}, the shortest of {shortest} bytes")


def key_formats(patient: Patient) -> Iterator[Finding]:
    """Keys cannot be guessed, and a mistyped one is known as such."""
    for name, section in patient.config.key_formats.items():
        if not section.prefix:
            continue  # foreign tokens: they are what they are
        bits = int(section.random * log2(62))
        if bits < _STRONG_BITS:
            yield warn(
                "key formats",
                f"keys of format {name} have {bits} random bits ({section.random} characters)",
                f"`key_formats.{name}.random: 43` makes them {_STRONG_BITS}; keys that exist stay as they are",
            )
        elif section.checksum == "none":
            yield warn(
                "key formats",
                f"keys of format {name} have no checksum: a typing error costs a look-up, and `keys scan` finds none",
                f"`key_formats.{name}.checksum: crc32` for new keys",
            )
        else:
            yield ok("key formats", f"keys of format {name} have {bits} random bits")
