"""What sets one configuration apart from another, and what of it only a restart can bring about.

Knows how the model is built from sections, mappings and lists. It names places and never a value: a value may be a
secret. It must not know any single key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from gateway.config.fields import applies_to
from gateway.config.model import Config
from gateway.config.problems import written
from gateway.config.sections.base import Section

Kind = Literal["added", "removed", "changed"]

_NAMES: Final = ("name", "id")
"""What names an entry of a list; other lists change as a whole."""


class Change(NamedTuple):
    """One difference: `path` as a person writes it, a named entry of a list by its name: `routes[jobs.list].match`."""

    path: str
    kind: Kind


def changes(before: Config, after: Config) -> list[Change]:
    """Return what is different in `after`, in the order of the model: the deepest places that can be named."""
    return list(_of_section(before, after, ""))


def changes_of(before: Section, after: Section) -> list[Change]:
    """Return what is different in one section; paths begin within it."""
    return list(_of_section(before, after, ""))


def keep_running(running: Config, wanted: Config) -> tuple[Config, list[str]]:
    """Return `wanted` with the running value of every key that needs a restart, and the paths where these differ."""
    kept: list[str] = []
    settled = _settled(running, wanted, "", kept)
    return settled, kept


def _settled(running: Any, wanted: Any, path: str, kept: list[str]) -> Any:
    update: dict[str, Any] = {}
    for name in type(wanted).model_fields:
        before, after = getattr(running, name), getattr(wanted, name)
        here = _below(path, name)
        if isinstance(before, Section) and isinstance(after, Section):
            settled = _settled(before, after, here, kept)
            if settled is not after:
                update[name] = settled
        elif applies_to(type(wanted), name) == "restart" and before != after:
            kept.append(here)
            update[name] = before
    return wanted.model_copy(update=update) if update else wanted


def _of_section(before: Section, after: Section, path: str) -> Iterator[Change]:
    if before == after:
        return
    names = [*type(after).model_fields]
    for name in names:
        yield from _of_value(getattr(before, name), getattr(after, name), _below(path, name))
    extras = (before.__pydantic_extra__ or {}, after.__pydantic_extra__ or {})
    yield from _of_mapping(*extras, path, _below)


def _of_value(before: Any, after: Any, path: str) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, Section) and isinstance(after, Section):
        yield from _of_section(before, after, path)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _of_mapping(before, after, path, _below)
    else:
        named = _by_name(before), _by_name(after)
        if named[0] is None or named[1] is None:
            yield Change(path, "changed")
        else:
            yield from _of_mapping(named[0], named[1], path, _within)


def _of_mapping(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    path: str,
    below: Callable[[str, str], str],
) -> Iterator[Change]:
    for name in dict.fromkeys((*before, *after)):
        here = below(path, name)
        if name not in after:
            yield Change(here, "removed")
        elif name not in before:
            yield Change(here, "added")
        else:
            yield from _of_value(before[name], after[name], here)


def _by_name(value: Any) -> dict[str, Any] | None:
    """Return the entries of a list of named sections by their names, None for any other value."""
    if not isinstance(value, tuple):
        return None
    found: dict[str, Any] = {}
    for item in value:
        field = next(
            (name for name in _NAMES if name in getattr(type(item), "model_fields", ())), ""
        )
        if not field:
            return None
        found[getattr(item, field)] = item
    return found


def _below(path: str, name: str) -> str:
    return f"{path}.{written((name,))}" if path else written((name,))


def _within(path: str, name: str) -> str:
    return f"{path}[{written((name,))}]"
