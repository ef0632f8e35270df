"""Requests that stand for all that a route takes: one for each host, method and form of its pattern.

Knows how the names in a pattern are filled. Two route tables are compared by what each says to the same samples. It
must not know what a route asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

from gateway.domain.paths import read_path
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""What stands for any method, besides those that some route names."""

_FILLER: Final = "sample"
_PLACEHOLDER: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*(\?|\.\.\.)?\}")
_SAFE: Final = "%!$&'()*+,;=:@"  # as in `match`


def samples_of(routes: Iterable[Route]) -> Iterator[RequestHead]:
    """Yield the samples of `routes`, each once; an expression has none, because it says not what it matches."""
    every = [*routes]
    methods = tuple(sorted({*METHODS, *(each for route in every for each in route.methods)}))
    seen = set()
    for route in every:
        for target in _targets(route):
            path, quirks = read_path(target)
            for host in route.hosts or ("",):
                host = host.replace("*.", f"{_FILLER}.", 1)
                for method in sorted(route.methods) or methods:
                    if (host, method, path) not in seen:
                        seen.add((host, method, path))
                        yield RequestHead(
                            method=method, target=target, path=path, quirks=quirks, host=host
                        )


def _targets(route: Route) -> Iterator[bytes]:
    if route.kind == "regex":
        return
    filled: list[str] = []
    mark = ""
    for part in route.pattern.strip("/").split("/"):
        placeholder = _PLACEHOLDER.fullmatch(part)
        mark = (placeholder[1] or "") if placeholder else ""
        filled.append(_FILLER if placeholder else quote(part, safe=_SAFE))
    if mark == "?":
        yield _path(filled[:-1])
    yield _path(filled)
    if route.kind == "prefix":
        yield _path([*filled, _FILLER])


def _path(segments: Iterable[str]) -> bytes:
    return "/{}".format("/".join(each for each in segments if each)).encode("ascii")
