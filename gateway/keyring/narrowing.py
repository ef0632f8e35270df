"""What the successor of a key may lack: a rotation may take scopes and addresses away, and never gives any.

Knows when one set of settings allows nothing that another does not. It must not know why somebody wants less, nor how
a rotation goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.domain.key_rules import Problem, Refused, Rules
from gateway.domain.keys import KeyRecord
from gateway.domain.networks import Allowlist

Granted = Callable[[Iterable[str]], frozenset[str]]
"""Returns the atoms that names grant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """What a successor is given instead of what the key has; None takes that over."""

    scopes: tuple[str, ...] | None = None
    ip_allowlist: tuple[str, ...] | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The fields that differ."""
        fields = {"scopes": self.scopes, "ip_allowlist": self.ip_allowlist}
        return {name: value for name, value in fields.items() if value is not None}


SAME: Final = Narrowing()


def narrowed(
    key: KeyRecord, narrowing: Narrowing, *, rules: Rules, granted: Granted, now: float
) -> KeyRecord:
    """Return `key` as its successor is to be. Raises `Refused` for what would allow more than the key does."""
    values = narrowing.values
    if not values:
        return key
    problems = rules.problems(values, now)
    if not problems:
        problems = [*_wider_scopes(key, narrowing, granted), *_wider_addresses(key, narrowing)]
    if problems:
        raise Refused(problems)
    return replace(key, **values)


def _wider_scopes(key: KeyRecord, narrowing: Narrowing, granted: Granted) -> Iterator[Problem]:
    has = granted(key.scopes)
    for index, name in enumerate(narrowing.scopes or ()):
        more = granted((name,)) - has
        if more:
            yield f"/scopes/{index}", f"the key has no {', '.join(sorted(more))}: {_NEVER_WIDER}"


def _wider_addresses(key: KeyRecord, narrowing: Narrowing) -> Iterator[Problem]:
    wanted = narrowing.ip_allowlist
    if wanted is None or not key.ip_allowlist:
        return
    if not wanted:
        yield "/ip_allowlist", f"would allow every address: {_NEVER_WIDER}"
    known = Allowlist(key.ip_allowlist)
    for index, entry in enumerate(wanted):
        if not known.covers(entry):
            yield f"/ip_allowlist/{index}", f"the key does not allow it: {_NEVER_WIDER}"


_NEVER_WIDER: Final = "a rotation takes away and never gives; update the key instead"
