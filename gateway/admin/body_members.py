"""Finds the member of a JSON body that comes twice in one object.

Knows that readers of JSON differ in which of the two they take (RFC 8259 section 4), so that somebody before us may
have seen another body than we do. It must not know what any member means.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class _Repeats:
    """Stands for an object with two members of this name."""

    name: str


def first_repeated(body: bytes) -> tuple[str | int, ...] | None:
    """Return the path of a member that comes twice, None when none does.

    `body` is JSON whose depth somebody has bounded.
    """
    return _find(_DECODER.decode(body.decode()))


def _object(members: list[tuple[str, Any]]) -> dict[str, Any] | _Repeats:
    made: dict[str, Any] = {}
    for name, value in members:
        if name in made:
            return _Repeats(name)
        made[name] = value
    return made


def _find(value: Any) -> tuple[str | int, ...] | None:
    if isinstance(value, _Repeats):
        return (value.name,)
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for step, each in members:
        path = _find(each)
        if path is not None:
            return (step, *path)
    return None


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    # Numbers are left as they are written: integers of any length are somebody else's business.
    parse_int=str,
    parse_float=str,
    parse_constant=str,
    strict=False,
)
