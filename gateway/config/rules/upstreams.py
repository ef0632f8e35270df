"""Upstreams: their targets are one service, and no key stands there without an effect.

Knows which keys of an upstream need one another. It must not know how targets are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.model import Config, Upstream
from gateway.config.problems import Finding, KeyPath, quoted
from gateway.config.rules.names import Declared, repeated
from gateway.config.sections.target import target_parts


def targets(config: Config, _declared: Declared) -> Iterator[Finding]:
    """The targets of an upstream are the same service: named once, with one base path."""
    for name, upstream in config.upstreams.items():
        path: KeyPath = ("upstreams", name, "targets")
        parts = [target_parts(target.url) for target in upstream.targets]
        places = (((*path, n), part.place) for n, part in enumerate(parts))
        yield from repeated("the target", places)
        first = parts[0].base_path
        for n, part in enumerate(parts):
            if part.base_path != first:
                message = f"has another base path than the first target ({quoted(first or '/')})"
                yield Finding((*path, n), message, "a request may go to any of them")


def choices(config: Config, _declared: Declared) -> Iterator[Finding]:
    """What depends on the way of balancing stands only where it has an effect."""
    for name, upstream in config.upstreams.items():
        path: KeyPath = ("upstreams", name)
        yield from _affinity(upstream, path)
        if upstream.slow_start and upstream.balance == "hash":
            message = "has no effect with `balance: hash`"
            yield Finding((*path, "slow_start"), message, "a share that grows would move callers")
        passive = upstream.health.passive
        if passive.ejection_max < passive.ejection:
            place = (*path, "health", "passive", "ejection_max")
            yield Finding(place, "must not be shorter than `ejection`")


def _affinity(upstream: Upstream, path: KeyPath) -> Iterator[Finding]:
    affinity = upstream.affinity
    if upstream.balance != "hash":
        if affinity != type(affinity)():
            yield Finding((*path, "affinity"), "has no effect without `balance: hash`")
    elif affinity.by == "header" and not affinity.header:
        yield Finding((*path, "affinity", "header"), "required key is missing", "`by: header`")
    elif affinity.header and affinity.by != "header":
        yield Finding((*path, "affinity", "header"), "has no effect without `by: header`")
    if 0 < affinity.load_max < 1:
        message = "must be 0 or at least 1: with less, nobody could take the requests"
        yield Finding((*path, "affinity", "load_max"), message)
