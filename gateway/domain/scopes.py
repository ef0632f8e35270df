"""Scopes: the declared names, and what a granted name stands for.

Knows atoms (`jobs:read`, `read:jobs`: both grammars, never swapped), bundles that include bundles,
and wildcards over the segments between colons. A route requires atoms; a key is granted names. It
must not know who is granted what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

ANY: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A named set of scopes: everything of the bundles in `includes`, and the atoms or wildcards in
    `add`.
    """

    includes: tuple[str, ...] = ()
    add: tuple[str, ...] = ()


class ScopeError(ValueError):
    """Scopes that cannot be declared or granted. `problems` pairs each offending name with what is
    wrong with it.
    """

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(message for _, message in self.problems))


class ScopeCatalogue:
    """Every scope that the config declares, expanded once."""

    def __init__(self, atoms: Iterable[str], bundles: Mapping[str, Bundle] | None = None) -> None:
        """Compile the catalogue. Raises `ScopeError` with every unusable name, unknown member and
        cycle.
        """
        self.atoms = frozenset(atoms)
        self.bundles = dict(bundles or {})
        self._segments = {atom: tuple(atom.split(":")) for atom in sorted(self.atoms)}
        self._expanded = {atom: frozenset((atom,)) for atom in self.atoms}
        problems = [*self._bad_names(), *self._bad_members(), *self._cycles()]
        if problems:
            raise ScopeError(problems)
        for name in self.bundles:
            self._expand_bundle(name)

    def expand(self, names: Iterable[str]) -> frozenset[str]:
        """Return the atoms that `names` (atoms, bundles, wildcards) grant. Raises `ScopeError`
        naming all unknown ones.
        """
        names = tuple(names)
        problems = [(name, text) for name in names if (text := self.complaint(name))]
        if problems:
            raise ScopeError(problems)
        return self.granted(names)

    def granted(self, names: Iterable[str]) -> frozenset[str]:
        """Return the atoms that `names` grant; a name that is no longer declared grants nothing."""
        return frozenset().union(*(self._atoms_of(name) for name in names))

    def complaint(self, name: str) -> str:
        """Say why `name` cannot be granted, with the nearest declared names; empty when it can."""
        if self._atoms_of(name):
            return ""
        if name in self.bundles:
            return f"bundle '{name}' grants nothing: give it scopes that are declared"
        if ANY in name:
            return (
                f"wildcard '{name}' matches no declared scope "
                "('*' stands for one whole segment, or alone for everything)"
            )
        return f"unknown scope '{name}'{_suggestion(name, (*self._segments, *self.bundles))}"

    def _atoms_of(self, name: str) -> frozenset[str]:
        known = self._expanded.get(name)
        return known if known is not None else self._matching(name)

    def _matching(self, pattern: str) -> frozenset[str]:
        if pattern == ANY:
            return self.atoms
        if ANY not in pattern:
            return frozenset()
        wanted = pattern.split(":")
        return frozenset(
            atom
            for atom, segments in self._segments.items()
            if len(segments) == len(wanted)
            and all(want in (ANY, have) for want, have in zip(wanted, segments, strict=True))
        )

    def _bad_names(self) -> Iterable[tuple[str, str]]:
        for name in (*self._segments, *self.bundles):
            if not _is_scope_token(name):
                rule = "printable ASCII without space, quote, backslash, '*' and empty segments"
                yield name, f"'{name}' is not a scope name: {rule}"
        for name in sorted(self.atoms.intersection(self.bundles)):
            yield name, f"'{name}' is both a scope and a bundle: rename one of them"

    def _bad_members(self) -> Iterable[tuple[str, str]]:
        for name, bundle in self.bundles.items():
            for included in bundle.includes:
                if included not in self.bundles:
                    hint = _suggestion(included, self.bundles)
                    yield name, f"bundle '{name}' includes unknown bundle '{included}'{hint}"
            for added in bundle.add:
                if added not in self.atoms and not self._matching(added):
                    hint = _suggestion(added, self._segments)
                    yield name, f"bundle '{name}' adds unknown scope '{added}'{hint}"

    def _cycles(self) -> Iterable[tuple[str, str]]:
        for name in self.bundles:
            path = self._way_back(name)
            if path and name == min(path):
                yield name, f"bundles include each other in a circle: {' -> '.join((*path, name))}"

    def _way_back(self, start: str) -> tuple[str, ...]:
        """Return the bundles on a way from `start` back to itself, or nothing."""
        seen: set[str] = set()
        ways: list[tuple[str, ...]] = [(start,)]
        while ways:
            way = ways.pop()
            for included in self.bundles[way[-1]].includes:
                if included == start:
                    return way
                if included in self.bundles and included not in seen:
                    seen.add(included)
                    ways.append((*way, included))
        return ()

    def _expand_bundle(self, name: str) -> frozenset[str]:
        known = self._expanded.get(name)
        if known is None:
            bundle = self.bundles[name]
            known = self.granted(bundle.add).union(*map(self._expand_bundle, bundle.includes))
            self._expanded[name] = known
        return known


def _is_scope_token(name: str) -> bool:
    """Tell whether `name` is an RFC 6749 section 3.3 scope-token that is no wildcard and has no
    empty segment.
    """
    return all("!" <= char <= "~" and char not in '"\\*' for char in name) and all(name.split(":"))


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=3)
    return f" (did you mean {' or '.join(repr(near) for near in close)}?)" if close else ""
