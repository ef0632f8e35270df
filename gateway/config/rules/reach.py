"""How targets are reached: in one way, and no key stands there without an effect."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.model import ActiveHealth, Config, Upstream, UpstreamTls
from gateway.config.problems import Finding
from gateway.config.rules.names import Declared
from gateway.config.sections.target import target_parts


def schemes(config: Config, _declared: Declared) -> Iterator[Finding]:
    """Either all targets of an upstream speak TLS or none does; a socket of this machine needs none."""
    for name, upstream in config.upstreams.items():
        parts = [target_parts(target.url) for target in upstream.targets]
        if any(part.is_tls for part in parts):
            for n, part in enumerate(parts):
                if not (part.is_tls or part.unix_path):
                    message = "is without TLS, while another target has it"
                    hint = "a request may go to any of them, and would cross in the open"
                    yield Finding(("upstreams", name, "targets", n), message, hint)


def tls(config: Config, _declared: Declared) -> Iterator[Finding]:
    """TLS is configured where it is spoken, and says one thing."""
    for name, upstream in config.upstreams.items():
        section, path = upstream.tls, ("upstreams", name, "tls")
        if section != UpstreamTls() and not _speaks_tls(upstream):
            yield Finding(path, "has no effect: no target is an `https://` URL")
        if section.key and not section.certificate:
            yield Finding((*path, "key"), "belongs to no certificate", "set `certificate` as well")
        if section.insecure_skip_verify:
            for given in ("ca", "server_name"):
                if getattr(section, given):
                    message = "has no effect: `insecure_skip_verify` accepts every certificate"
                    yield Finding((*path, given), message)


def _speaks_tls(upstream: Upstream) -> bool:
    return any(target_parts(target.url).is_tls for target in upstream.targets)


def health(config: Config, _declared: Declared) -> Iterator[Finding]:
    """A health check can do what it says."""
    for name, upstream in config.upstreams.items():
        section, path = upstream.health.active, ("upstreams", name, "health", "active")
        if section != ActiveHealth() and not section.path:
            yield Finding(path, "has no effect without a `path`")
            continue
        if section.timeout > section.interval:
            message = f"is longer than the interval ({section.interval:g} s)"
            yield Finding((*path, "timeout"), message, "a check ends before the next one begins")
        if section.body_contains and section.method == "HEAD":
            message = "can never be found: the answer to HEAD has no body"
            yield Finding((*path, "body_contains"), message, "`method: GET`")
