"""Routes: every one can be reached, none hides another, and each says what it needs and no more.

Knows how a configured route becomes a route of the domain, whose grammar and precedence decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Literal

from gateway.config.model import Config, Route
from gateway.config.problems import Finding, KeyPath, did_you_mean, quoted
from gateway.config.rules.names import Declared, repeated
from gateway.domain import routes as domain
from gateway.domain.match import parse_pattern
from gateway.domain.paths import QUIRK_NAMES, Quirk
from gateway.domain.rewrite import compile_rewriter

Kind = Literal["path", "prefix", "regex"]


def pattern_of(route: Route) -> tuple[Kind, str] | None:
    """Return the kind and text of a route's pattern, or None unless there is exactly one."""
    match = route.match
    kinds: tuple[tuple[Kind, str], ...] = (
        ("path", match.path),
        ("prefix", match.prefix),
        ("regex", match.regex),
    )
    given = [each for each in kinds if each[1]]
    return given[0] if len(given) == 1 else None


def quirks_of(route: Route) -> Quirk:
    """Return what `path.allow` lets through."""
    return reduce(or_, (QUIRK_NAMES[name] for name in route.path.allow), Quirk(0))


def patterns(config: Config, _declared: Declared) -> Iterator[Finding]:
    """Every route has one pattern that requests can match, and a rewriting that fits it."""
    for n, route in enumerate(config.routes):
        path: KeyPath = ("routes", n)
        pattern = pattern_of(route)
        if pattern is None:
            yield Finding((*path, "match"), "needs exactly one of `path`, `prefix` and `regex`")
            continue
        if not route.match.methods:
            yield Finding(
                (*path, "match", "methods"), "is empty: no request can match", "remove it"
            )
        kind, text = pattern
        try:
            shapes = parse_pattern(text, kind, int(quirks_of(route)))
        except ValueError as error:
            yield Finding((*path, "match", kind), str(error))
            continue
        strip, rewrite = route.path.strip_prefix, route.path.rewrite
        try:
            compile_rewriter(strip_prefix=strip, rewrite=rewrite, shapes=shapes)
        except ValueError as error:
            culprit = "strip_prefix" if strip and not rewrite else "rewrite"
            yield Finding((*path, "path", culprit), str(error))


def overlaps(config: Config, _declared: Declared) -> Iterator[Finding]:
    """No two routes claim the same requests; parameter names and letter case do not tell them
    apart."""
    places: dict[str, int] = {}
    sound = []
    for n, route in enumerate(config.routes):
        compiled = _compiled(route)
        if compiled is not None and route.name not in places:
            places[route.name] = n
            sound.append(compiled)
    for overlap in domain.find_overlaps(sound):
        first, second = (("routes", places[n], "match") for n in (overlap.first, overlap.second))
        hint = "the order of routes never decides"
        yield Finding(second, str(overlap), hint, related=(first,))


def _compiled(route: Route) -> domain.Route | None:
    pattern = pattern_of(route)
    if pattern is None:
        return None
    compiled = domain.Route(
        name=route.name,
        pattern=pattern[1],
        kind=pattern[0],
        hosts=route.match.hosts,
        methods=frozenset() if "*" in route.match.methods else frozenset(route.match.methods),
        allowed_quirks=quirks_of(route),
    )
    try:
        domain.compile_route(compiled)
    except ValueError:
        return None  # told by `patterns`
    return compiled


def purposes(config: Config, _declared: Declared) -> Iterator[Finding]:
    """A route has an upstream if it forwards, and asks nothing of a key that it does not read."""
    yield from repeated(
        "the name", ((("routes", n, "name"), r.name) for n, r in enumerate(config.routes))
    )
    for n, route in enumerate(config.routes):
        path: KeyPath = ("routes", n)
        if route.handler == "proxy" and not route.upstream:
            yield Finding((*path, "upstream"), "required key is missing", "who answers this route?")
        if route.handler == "introspect":
            yield from _introspection(route, path)
        if route.auth == "none":
            yield from _public(route, path)
        if "*" in route.match.methods and len(route.match.methods) > 1:
            message = "`*` means every method: write it alone"
            yield Finding((*path, "match", "methods"), message)


def _introspection(route: Route, path: KeyPath) -> Iterator[Finding]:
    if route.upstream:
        yield Finding((*path, "upstream"), "has no effect: the gateway answers this route itself")
    if route.auth == "none":
        yield Finding((*path, "auth"), "a public route has no key to tell about")


def _public(route: Route, path: KeyPath) -> Iterator[Finding]:
    for name in ("scopes", "environments"):
        if getattr(route, name):
            message = "has no effect: the route is public (`auth: none`)"
            yield Finding((*path, name), message)


def denials(config: Config, _declared: Declared) -> Iterator[Finding]:
    """What an environment denies exists, and is a whole route: half a one would need a second look."""
    known = {found[1] for route in config.routes if (found := pattern_of(route))}
    for name, environment in config.environments.items():
        for n, entry in enumerate(environment.deny):
            path: KeyPath = ("environments", name, "deny", n)
            method, _, pattern = entry.partition(" ")
            if not (method and pattern):
                yield Finding(path, "must be a method and a path: `POST /v1/interviews`")
                continue
            barred = [route for route in config.routes if _answers(route, method, pattern)]
            if not barred:
                message = f"denies nothing: no route answers {quoted(entry)}"
                yield Finding(path, message, did_you_mean(pattern, known), related=(("routes",),))
            for route in barred:
                if method != "*" and (more := sorted(set(route.match.methods) - {method, "HEAD"})):
                    message = f"the route {quoted(route.name)} also answers {', '.join(more)}"
                    hint = f"give {method} a route of its own"
                    yield Finding(path, message, hint, related=(("routes",),))


def _answers(route: Route, method: str, pattern: str) -> bool:
    found = pattern_of(route)
    methods = route.match.methods
    is_meant = method == "*" or "*" in methods or method in methods
    return is_meant and found is not None and found[1] == pattern
