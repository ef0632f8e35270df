"""Files that the configuration names exist, can be read and fit together. The only rules that look at files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.config.model import (
    CertificateFiles,
    Config,
    LimitsTls,
    StoreTls,
    Tls,
    Upstream,
    UpstreamTls,
)
from gateway.config.pem import PemError, check_authorities, check_key, read_certificates, staleness
from gateway.config.problems import Finding, KeyPath, quoted
from gateway.domain.validity import Validity


def upstream_certificates(config: Config, folder: Path, now: float) -> Iterator[Finding]:
    """The files of `upstreams.<name>.tls` can be used; one that is not valid at `now` is a warning."""
    for name, upstream in config.upstreams.items():
        yield from _tls(("upstreams", name, "tls"), upstream.tls, folder, now)


def limits_certificates(config: Config, folder: Path, now: float) -> Iterator[Finding]:
    """The files of `limits.tls` can be used; one that is not valid at `now` is a warning."""
    yield from _tls(("limits", "tls"), config.limits.tls, folder, now)


def store_certificates(config: Config, folder: Path, now: float) -> Iterator[Finding]:
    """The files of `store.tls` can be used; one that is not valid at `now` is a warning."""
    yield from _tls(("store", "tls"), config.store.tls, folder, now)


def listener_certificates(config: Config, folder: Path, now: float) -> Iterator[Finding]:
    """The files of `listeners.<name>.tls` can be used; one that is not valid at `now` is a warning."""
    for path, section in _listeners(config):
        for n, pair in enumerate(section.certificates):
            yield from _pair((*path, "certificates", n), pair, folder, now)
        if section.client_certificates.ca:
            where = (*path, "client_certificates", "ca")
            yield from _authorities(where, folder / section.client_certificates.ca, now)


def channel_authorities(config: Config, folder: Path, now: float) -> Iterator[Finding]:
    """The authorities that channels are checked by can be read."""
    for path, name in _channel_files(config):
        yield from _authorities(path, folder / name, now)


def trace_authorities(config: Config, folder: Path, now: float) -> Iterator[Finding]:
    """The file of `telemetry.traces.ca` can be used; one that is not valid at `now` is a warning."""
    if config.telemetry.traces.ca:
        path = ("telemetry", "traces", "ca")
        yield from _authorities(path, folder / config.telemetry.traces.ca, now)


def _tls(
    path: KeyPath, section: UpstreamTls | LimitsTls | StoreTls, folder: Path, now: float
) -> Iterator[Finding]:
    if section.ca:
        yield from _authorities((*path, "ca"), folder / section.ca, now)
    if section.certificate:
        yield from _pair(path, section, folder, now)


def _authorities(path: KeyPath, file: Path, now: float) -> Iterator[Finding]:
    try:
        found = check_authorities(file)
    except PemError as error:
        yield _unusable(path, file, error)
    else:
        # One authority of several may have expired while its successor stands beside it.
        yield from _stale(path, file, max(found, key=lambda validity: validity.ends_at), now)


def _pair(
    path: KeyPath,
    section: UpstreamTls | LimitsTls | StoreTls | CertificateFiles,
    folder: Path,
    now: float,
) -> Iterator[Finding]:
    place, certificate = (*path, "certificate"), folder / section.certificate
    try:
        chain = read_certificates(certificate)
    except PemError as error:
        yield _unusable(place, certificate, error)
        return
    yield from _stale(place, certificate, chain[0], now)
    key = folder / (section.key or section.certificate)
    try:
        check_key(certificate, key)
    except PemError as error:
        yield _unusable((*path, "key") if section.key else place, key, error)


def _unusable(path: KeyPath, file: Path, error: PemError) -> Finding:
    return Finding(path, f"{quoted(str(file))} {error}")


def _stale(path: KeyPath, file: Path, validity: Validity, now: float) -> Iterator[Finding]:
    if why := staleness(validity, now):
        yield Finding(path, f"{quoted(str(file))} {why}", is_warning=True)


def named_by(upstream: Upstream, folder: Path) -> list[Path]:
    """Return the files whose content belongs to the configuration of an upstream."""
    section = upstream.tls
    return [folder / name for name in (section.ca, section.certificate, section.key) if name]


def named(config: Config, folder: Path) -> Iterator[Path]:
    """Yield every file whose content belongs to the configuration."""
    for upstream in config.upstreams.values():
        yield from named_by(upstream, folder)
    for _, section in _listeners(config):
        for pair in section.certificates:
            yield from (folder / pair.certificate, folder / pair.key)
        if section.client_certificates.ca:
            yield folder / section.client_certificates.ca
    if config.telemetry.traces.ca:
        yield folder / config.telemetry.traces.ca
    yield from (folder / name for _, name in _channel_files(config))


def _channel_files(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for name, channel in config.channels.items():
        for kind in ("webhook", "slack", "email"):
            section = getattr(channel, kind)
            if section is not None and section.ca:
                yield ("channels", name, kind, "ca"), section.ca


def _listeners(config: Config) -> Iterator[tuple[KeyPath, Tls]]:
    for name in ("public", "admin", "metrics", "delivery", "forward_auth"):
        section: Tls | None = getattr(config.listeners, name).tls
        if section is not None:
            yield ("listeners", name, "tls"), section
