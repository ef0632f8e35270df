"""Routes: what a host, a method and a path lead to, and when a path is too ambiguous to lead
anywhere.

Knows hosts, methods and the guard. It must not know keys or upstreams beyond their names.

Precedence does not depend on file order. The path decides first: in the table of the exact host,
then of the longest wildcard suffix, then of shorter ones, then of any host; the next table is asked
only when no path of the former matches. Within one table `match` says which pattern is the most
specific. The method decides last, among the routes of that one pattern: a listed method before any
method, and GET also answers HEAD. Otherwise the answer is 405, never a less specific pattern: that
would be a way around the scopes of the more specific one.

The guard. A server may read a path differently from us: decode twice, ignore case, drop
`;parameters`, merge slashes, cut trailing dots, take `%2F` for a slash, not decode at all. So a
request is admitted only if every such reading leads to the route that was matched; reading without
regard to case looks up folded patterns, the others the patterns as written. A reading that leads to
no route is refused too, except where the route allowed the quirk that it comes from: there the
operator vouched for the upstream, but never for the scopes of another route.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from gateway.domain.denial import Denial, Reason
from gateway.domain.limits import Claim
from gateway.domain.match import Kind, PathTable, Shape, parse_pattern, trim
from gateway.domain.networks import Allowlist
from gateway.domain.paths import NEVER, OPTIONAL, Quirk, fold, readings
from gateway.domain.request import RequestHead
from gateway.domain.rewrite import Rewriter, compile_rewriter
from gateway.domain.shadow import ShadowRules
from gateway.domain.timeouts import Timeouts

_NO_QUIRKS: Final = Quirk(0)
_HOST: Final = re.compile(r"(\*\.)?[^\s*/:A-Z\[\]]*[^\s*/:A-Z\[\].]|\[[0-9a-f:.]+\]")


ResponseEdits = tuple[frozenset[bytes], tuple[tuple[bytes, bytes], ...]]
"""The lower-case names of fields to remove, and the fields to set."""

_NO_EDITS: Final[ResponseEdits] = (frozenset(), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route, with everything that was decided at load time.

    `hosts` are lower-case names or `*.suffix` (any number of labels), none for every host;
    `methods` none for every method. `pattern` is read by `match.parse_pattern` as `kind` says.
    `scopes` are atoms, all required. `claims` are the limits of the route itself. `allowed_quirks`
    are those of `paths.OPTIONAL` that the upstream reads as we do. Header names to remove are lower
    case. `shadow` are its rules that refuse nothing, None without any. `body_bytes_max` 0 means no
    limit. `timeouts` are by upstream: an environment may choose
    another one. Of an upstream that is not among them, its own hold. `response_edits` are what the
    route does to the fields of a response: routes that do the same to the same response share it.
    """

    name: str
    pattern: str
    kind: Kind = "path"
    hosts: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    needs_key: bool = True
    scopes: tuple[str, ...] = ()
    environments: frozenset[str] = frozenset()
    allowlist: Allowlist | None = None
    upstream: str = ""
    handler: Literal["proxy", "introspect"] = "proxy"
    claims: tuple[Claim, ...] = ()
    shadow: ShadowRules | None = None
    allowed_quirks: Quirk = _NO_QUIRKS
    strip_prefix: str = ""
    rewrite: str = ""
    request_headers_set: tuple[tuple[bytes, bytes], ...] = ()
    request_headers_remove: frozenset[bytes] = frozenset()
    response_headers_set: tuple[tuple[bytes, bytes], ...] = ()
    response_headers_remove: frozenset[bytes] = frozenset()
    body_bytes_max: int = 0
    dialect: str = ""
    rate_headers: tuple[str, ...] = ()
    timeouts: Mapping[str, Timeouts] = field(default_factory=dict, hash=False)
    response_edits: ResponseEdits = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        edits = (self.response_headers_remove, self.response_headers_set)
        object.__setattr__(self, "response_edits", edits if any(edits) else _NO_EDITS)


class Match:
    """A request and the route that it is for.

    `parameters` are what the pattern's names took, in text form (see `paths`); `rewriter` changes
    the target, None leaves it as it came.
    """

    __slots__ = ("head", "parameters", "rewriter", "route")

    def __init__(
        self,
        head: RequestHead,
        route: Route,
        parameters: Mapping[str, str],
        rewriter: Rewriter | None = None,
    ) -> None:
        self.head = head
        self.route = route
        self.parameters = parameters
        self.rewriter = rewriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Two routes, by name, that claim the same requests; an empty `method` means every one."""

    first: str
    second: str
    host: str
    pattern: str
    method: str
    differs_in_case: bool

    def __str__(self) -> str:
        where = f"{self.method or 'any method'} {self.host or 'any host'} {self.pattern}"
        how = "claim (but for the case of letters)" if self.differs_in_case else "claim"
        return f"routes {self.first!r} and {self.second!r} both {how} {where}"


def compile_route(route: Route) -> tuple[tuple[Shape, ...], Rewriter | None]:
    """Compile a route's pattern and rewriting. Raises ValueError that says what is wrong."""
    shapes = parse_pattern(route.pattern, route.kind, int(route.allowed_quirks))
    for host in route.hosts:
        if _HOST.fullmatch(host) is None:
            raise ValueError(f"{host!r} is no lower-case host name, nor '*.' and a suffix")
    rewriter = compile_rewriter(
        strip_prefix=route.strip_prefix, rewrite=route.rewrite, shapes=shapes
    )
    return shapes, rewriter


def find_overlaps(routes: Iterable[Route]) -> list[Overlap]:
    """Return the pairs of routes that no request can tell apart. Raises like `compile_route`."""
    claimed: dict[tuple[object, ...], tuple[Route, Shape]] = {}
    overlaps: dict[Overlap, None] = {}
    for route in routes:
        for shape in compile_route(route)[0]:
            for host in route.hosts or ("",):
                for method in route.methods or ("",):
                    first, known = claimed.setdefault(
                        (host, method, shape.folded_key), (route, shape)
                    )
                    if first is not route:
                        overlap = Overlap(
                            first=first.name,
                            second=route.name,
                            host=host,
                            pattern=route.pattern,
                            method=method,
                            differs_in_case=known.key != shape.key,
                        )
                        overlaps[overlap] = None
    return list(overlaps)


class _Bound:
    """One route as one shape of its pattern leads to it."""

    __slots__ = ("expression", "names", "refused_quirks", "rest", "rewriter", "route")

    def __init__(self, route: Route, shape: Shape, rewriter: Rewriter | None) -> None:
        self.route = route
        self.rewriter = rewriter
        self.names = shape.names
        self.rest = (shape.rest_name, len(shape.segments) + 1) if shape.rest_name else None
        self.expression: re.Pattern[str] | None = None
        if shape.end == "regex" and re.compile(shape.expression).groupindex:
            self.expression = re.compile(shape.expression)
        self.refused_quirks = OPTIONAL & ~int(route.allowed_quirks)

    def parameters(self, path: str) -> Mapping[str, str]:
        """Return what the names of the pattern took of a path that matched."""
        if self.expression is not None:
            match = self.expression.fullmatch(trim(path))
            groups = {} if match is None else match.groupdict()
            return {name: value for name, value in groups.items() if value is not None}
        if not self.names and self.rest is None:
            return _NO_PARAMETERS
        segments = path.split("/")
        parameters = {name: segments[index + 1] for name, index in self.names}
        if self.rest is not None:
            parameters[self.rest[0]] = "/".join(segments[self.rest[1] :])
        return parameters


class _Leaf:
    """The routes of one pattern by method; `""` is the one for every method."""

    __slots__ = ("_listed", "_other", "refusal")

    def __init__(self) -> None:
        self._listed: dict[str, _Bound] = {}
        self._other: _Bound | None = None
        self.refusal = Denial(reason=Reason.METHOD_NOT_ALLOWED)

    def add(self, bound: _Bound) -> None:
        """Let a route answer its methods."""
        methods = bound.route.methods
        if not methods:
            self._other = bound
        for method in methods:
            self._listed[method] = bound
        if "GET" in methods:
            self._listed.setdefault("HEAD", bound)
        self.refusal = Denial(reason=Reason.METHOD_NOT_ALLOWED, allow=tuple(sorted(self._listed)))

    def select(self, method: str) -> _Bound | None:
        """Return the route that answers `method`, or None.

        `delete` is another method than `DELETE` (RFC 9110 section 9.1), but some upstreams take it for the same: where
        a route lists `DELETE`, it is not answered by the route for every other method.
        """
        listed = self._listed
        bound = listed.get(method)
        if bound is None and (not listed or method.upper() not in listed):
            return self._other
        return bound

    def leads_to(self, route: Route, method: str) -> bool:
        """Say whether `method` is answered by `route`."""
        bound = self.select(method)
        return bound is not None and bound.route is route


class _HostTable:
    """The patterns of one host, as written and as a server that ignores case knows them."""

    __slots__ = ("folded", "plain")

    def __init__(self) -> None:
        self.plain = PathTable(_Leaf)
        self.folded = PathTable(_Leaf, is_folded=True)


class _Chain:
    """The tables to ask for one host, the most specific first."""

    __slots__ = ("_folded", "_plain")

    def __init__(self, tables: Sequence[_HostTable]) -> None:
        self._plain = tuple(table.plain for table in tables)
        self._folded = tuple(table.folded for table in tables)

    def find(self, path: str) -> _Leaf | None:
        """Return the leaf of the most specific pattern that matches a text."""
        for table in self._plain:
            leaf = table.find(path)
            if leaf is not None:
                return leaf
        return None

    def find_folded(self, path: str) -> _Leaf | None:
        """Return the leaf that a server would find that ignores case."""
        folded = fold(path)
        for table in self._folded:
            leaf = table.find(folded)
            if leaf is not None:
                return leaf
        return None


_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
_NO_ROUTE: Final = Denial(reason=Reason.NO_ROUTE)


class RouteTable:
    """All routes, compiled. Raises ValueError for a wrong pattern and for routes that overlap."""

    __slots__ = ("_any_host", "_folds", "_hosts", "_suffixes", "routes")

    def __init__(self, routes: Sequence[Route]) -> None:
        overlaps = find_overlaps(routes)
        if overlaps:
            raise ValueError("; ".join(map(str, overlaps)))
        self.routes = tuple(routes)
        tables: dict[str, _HostTable] = {"": _HostTable()}
        # Patterns that folding changes can be met by paths without any quirk.
        self._folds = False
        for route in routes:
            shapes, rewriter = compile_route(route)
            for shape in shapes:
                self._folds = self._folds or not shape.is_folded
                bound = _Bound(route, shape, rewriter)
                for host in route.hosts or ("",):
                    table = tables.setdefault(host, _HostTable())
                    table.plain.leaf(shape).add(bound)
                    table.folded.leaf(shape).add(bound)
        chains = {host: _Chain(list(_tables_of(host, tables))) for host in tables}
        self._any_host = chains.pop("")
        self._suffixes = {host[1:]: chain for host, chain in chains.items() if host[0] == "*"}
        self._hosts = {host: chain for host, chain in chains.items() if host[0] != "*"}

    def match(self, head: RequestHead) -> Match | Denial:
        """Return the route, or NO_ROUTE, METHOD_NOT_ALLOWED (with `allow`) or AMBIGUOUS_PATH."""
        quirks = head.quirks
        if quirks & NEVER:
            return _ambiguous(quirks & NEVER)
        chain = self._any_host
        if self._hosts or self._suffixes:
            chain = self._hosts.get(head.host) or self._by_suffix(head.host)
        leaf = chain.find(head.path)
        if leaf is None:
            return _NO_ROUTE
        bound = leaf.select(head.method)
        if bound is None:
            return leaf.refusal
        if (quirks or self._folds) and not _is_certain(head, bound, chain):
            return _ambiguous(quirks)
        parameters = bound.parameters(head.path)
        if bound.expression is not None and bound.rewriter and not _can_fill(parameters):
            return _ambiguous(quirks)
        return Match(head, bound.route, parameters, bound.rewriter)

    def _by_suffix(self, host: str) -> _Chain:
        """Return the chain of the longest wildcard over `host`; `*.a.b` does not cover `a.b`."""
        if self._suffixes:
            dot = host.find(".", 1)
            while dot > 0:
                chain = self._suffixes.get(host[dot:])
                if chain is not None:
                    return chain
                dot = host.find(".", dot + 1)
        return self._any_host


def _tables_of(host: str, tables: Mapping[str, _HostTable]) -> Iterable[_HostTable]:
    """Yield the tables to ask for a host (or wildcard), the most specific first."""
    yield tables[host]
    labels = host.removeprefix("*.").split(".")
    for start in range(1, len(labels)):
        wildcard = "*." + ".".join(labels[start:])
        if wildcard in tables:
            yield tables[wildcard]
    if host:
        yield tables[""]


def _is_certain(head: RequestHead, bound: _Bound, chain: _Chain) -> bool:
    """Say whether every reading of the path leads to the route that was matched."""
    quirks, method, route = head.quirks, head.method, bound.route
    if quirks & bound.refused_quirks:
        return False
    for text, is_vouched in readings(head.path, head.target.partition(b"?")[0], quirks).items():
        leaf = chain.find(text)
        if not (is_vouched if leaf is None else leaf.leads_to(route, method)):
            return False
        leaf = chain.find_folded(text)
        # None: only an expression matched, and only as it was written.
        if leaf is not None and not leaf.leads_to(route, method):
            return False
    return True


def _can_fill(parameters: Mapping[str, str]) -> bool:
    """Say whether no group of an expression would make an empty or a dot segment."""
    return all(segment.strip(". ") for value in parameters.values() for segment in value.split("/"))


def _ambiguous(quirks: int) -> Denial:
    names = "|".join(quirk.name or "" for quirk in Quirk if quirks & quirk)
    return Denial(reason=Reason.AMBIGUOUS_PATH, internal=f"path quirks: {names or 'none'}")
