"""From a file to a checked `Config`, or to the list of everything that is wrong with it.

Knows the order of the steps: files, types, rules. It must not know any single key.
"""

from __future__ import annotations

import gc
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.config.history import KeptReading, Texts
from gateway.config.include import read_files
from gateway.config.literals import literal_secrets
from gateway.config.model import Config
from gateway.config.problems import ConfigErrors, Finding, Problem, Report
from gateway.config.rules import (
    alerts,
    edge,
    files,
    keys,
    limits,
    names,
    reach,
    routes,
    scopes,
    store,
    telemetry,
    tenancy,
    tls,
    upstreams,
    usage,
)
from gateway.config.sources import Sources
from gateway.config.tree import Node
from gateway.config.validate import report_findings, validate

Rule = Callable[[Config, names.Declared], Iterator[Finding]]

RULES: Final[tuple[Rule, ...]] = (
    edge.listeners,
    edge.proxies,
    edge.headers,
    edge.dialects,
    upstreams.targets,
    upstreams.choices,
    reach.schemes,
    reach.tls,
    reach.health,
    keys.peppers,
    keys.key_formats,
    keys.environments,
    keys.offered,
    keys.bootstrap,
    names.names,
    store.store,
    scopes.scopes,
    limits.plans,
    limits.route_plans,
    limits.redis,
    routes.patterns,
    routes.overlaps,
    routes.purposes,
    routes.denials,
    tenancy.selector,
    tenancy.owners,
    tls.tls,
    alerts.names,
    alerts.channels,
    alerts.tenants,
    telemetry.traces,
    usage.usage,
    usage.per_key,
)

_LARGE_BYTES: Final = 100_000
"""From such a size on, packed, memory is worth looking after: some two hundred routes or keys."""

FileRule = Callable[[Config, Path, float], Iterator[Finding]]
"""Takes the folder at which relative paths start, and the time (epoch seconds)."""

FILE_RULES: Final[tuple[FileRule, ...]] = (
    files.listener_certificates,
    files.upstream_certificates,
    files.channel_authorities,
    files.trace_authorities,
    usage.geoip_database,
    files.limits_certificates,
    files.store_certificates,
)


def load(path: Path | str, environ: Mapping[str, str]) -> Config:
    """Return the configuration in the file at `path`; raise `ConfigErrors` with every mistake."""
    config, problems = check(path, environ)
    if config is None:
        raise ConfigErrors(problems)
    return config


def check(path: Path | str, environ: Mapping[str, str]) -> tuple[Config | None, list[Problem]]:
    """Return the configuration, or None if it cannot be used, and every mistake in it, warnings
    included. Never raises, whatever the file holds.

    `environ` is what `${VAR}` reads; relative paths of includes and `${file:...}` start at the
    folder of `path`.
    """
    loaded = read(path, environ)
    return loaded.config, loaded.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of reading a configuration: `config` is None when it cannot be used. `problems` are its mistakes, and
    warnings. `sources` says what was read, also by one that failed; `texts` are its files as they were written, None
    where there is no configuration.
    """

    config: Config | None
    problems: list[Problem]
    sources: Sources
    texts: Texts | None = None


def read(path: Path | str, environ: Mapping[str, str]) -> Loaded:
    """Do what `check` does, and tell which files it took. Takes about 0.5 s per thousand routes: call it in a thread
    where something else must go on.

    What is returned is a fresh copy: the tree of the files takes ten times the memory of the configuration, and could
    not be given back while the configuration lay scattered between its parts.
    """
    return _fresh(_read(Path(path), environ, Report()))


def read_kept(path: Path | str, environ: Mapping[str, str], texts: Texts) -> Loaded:
    """Do what `read` does with `texts` in place of the files at `path`; what they name is read as it is now."""
    return _fresh(_read(Path(path), environ, Report(KeptReading(Path(path), texts))))


def _fresh(found: Loaded) -> Loaded:
    packed = pickle.dumps(found, pickle.HIGHEST_PROTOCOL)
    if len(packed) > _LARGE_BYTES:
        gc.collect()  # what the interpreter keeps for reuse lies scattered, too
    loaded: Loaded = pickle.loads(packed)  # noqa: S301 - written one line above
    return loaded


def _read(path: Path, environ: Mapping[str, str], report: Report) -> Loaded:
    root = read_files(path, environ, report)
    config = _judge(root, path.parent, report) if root is not None else None
    problems = report.in_order()
    is_sound = all(problem.is_warning for problem in problems)
    named = files.named(config, path.parent) if config is not None else ()
    sound = config if is_sound else None
    return Loaded(
        config=sound,
        problems=problems,
        sources=report.reading.sources().also(named),
        texts=None if sound is None else _texts(path, sound, report),
    )


def _texts(path: Path, config: Config, report: Report) -> Texts:
    return Texts.of(path, report.reading, literal_secrets(config, report.outside))


def _judge(root: Node, folder: Path, report: Report) -> Config | None:
    if not isinstance(root.value, dict):
        report.add(root.place, (), "the configuration must be a mapping", "start with `version: 1`")
        return None
    config, sound = validate(root, report)
    if config is not None and report.is_complete:
        declared = names.Declared.of(config, root.plain() if report.broken else None)
        for rule in RULES:
            report_findings(rule(config, declared), sound, report)
        for look in FILE_RULES:
            report_findings(look(config, folder, time.time()), sound, report)
    return config


def broken_rules(config: Config) -> Sequence[Finding]:
    """Return the rules that a configuration breaks which was put together from two that are right."""
    declared = names.Declared.of(config, None)
    return [finding for rule in RULES for finding in rule(config, declared)]
