"""Scopes: routes require declared atoms, keys get what is declared, bundles have no circle."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.model import Config
from gateway.config.problems import Finding, KeyPath, quoted
from gateway.config.rules.names import Declared, matches, repeated, undeclared
from gateway.domain.scopes import Bundle, ScopeCatalogue, ScopeError

_ATOMS: KeyPath = ("scopes", "atoms")
_BUNDLES: KeyPath = ("scopes", "bundles")


def scopes(config: Config, declared: Declared) -> Iterator[Finding]:
    """What is required is an atom, what is granted is declared, every wildcard means something."""
    atoms = config.scopes.atoms
    yield from repeated("the atom", (((*_ATOMS, n), atom) for n, atom in enumerate(atoms)))
    for name in sorted(set(atoms) & declared.bundles):
        yield Finding((*_BUNDLES, name), f"{quoted(name)} is an atom as well: rename one of them")
    yield from _required(config, declared)
    yield from undeclared("the bundle", _included(config), declared.bundles, _BUNDLES)
    catalogue, circles = _catalogue(config)
    yield from circles
    for path, name in _granted(config):
        complaint = catalogue.complaint(name)
        is_bundle = name in declared.bundles  # an empty one is told where it is declared
        if complaint and not is_bundle:
            yield Finding(path, complaint, about=_ATOMS)


def _required(config: Config, declared: Declared) -> Iterator[Finding]:
    for n, route in enumerate(config.routes):
        for m, scope in enumerate(route.scopes):
            path: KeyPath = ("routes", n, "scopes", m)
            if scope in declared.bundles:
                message = f"a route requires atoms, and {quoted(scope)} is a bundle"
                yield Finding(path, message, "bundles are for keys")
            else:
                yield from undeclared("the scope", [(path, scope)], config.scopes.atoms, _ATOMS)


def _included(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for name, bundle in config.scopes.bundles.items():
        for n, included in enumerate(bundle.includes):
            yield (*_BUNDLES, name, "includes", n), included


def _granted(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for name, bundle in config.scopes.bundles.items():
        for n, scope in enumerate(bundle.add):
            yield (*_BUNDLES, name, "add", n), scope
    for name, template in config.templates.items():
        for n, scope in enumerate(template.scopes):
            yield ("templates", name, "scopes", n), scope
    for k, key in enumerate(config.bootstrap.keys):
        for n, scope in enumerate(key.scopes):
            yield ("bootstrap", "keys", k, "scopes", n), scope
    for path, match in matches(config):
        for n, scope in enumerate(match.scopes):
            yield (*path, "scopes", n), scope


def _catalogue(config: Config) -> tuple[ScopeCatalogue, list[Finding]]:
    """Return a catalogue of what is sound, and a finding for each circle of bundles."""
    atoms = set(config.scopes.atoms) - config.scopes.bundles.keys()
    plain = ScopeCatalogue(atoms)
    bundles = {
        name: Bundle(
            includes=tuple(i for i in bundle.includes if i in config.scopes.bundles),
            add=tuple(a for a in bundle.add if not plain.complaint(a)),
        )
        for name, bundle in config.scopes.bundles.items()
    }
    circles: list[Finding] = []
    while True:
        try:
            return ScopeCatalogue(atoms, bundles), circles
        except ScopeError as error:
            name, message = error.problems[0]
            circles.append(Finding((*_BUNDLES, name, "includes"), message))
            bundles[name] = Bundle(add=bundles[name].add)
