"""Lets a client ask for problem+json, whatever dialect the route speaks (RFC 9110 section 12.5.1).

Knows how an `Accept` value is read. Only the exact type counts: `*/*` is what every client sends.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.domain.dialects.render import Dialect

_WANTED: Final = b"application/problem+json"
# A comma or semicolon inside a quoted string separates nothing (RFC 9110 section 5.6.4); a string
# without its closing quote reaches to the end.
_ELEMENT: Final = re.compile(rb'(?:"(?:[^"\\]|\\.)*\\?(?:"|\Z)|[^",])+', re.DOTALL)
_PARAMETER: Final = re.compile(rb'(?:"(?:[^"\\]|\\.)*\\?(?:"|\Z)|[^";])+', re.DOTALL)
_WEIGHT: Final = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def choose(dialect: Dialect, problem: Dialect, accept: bytes) -> Dialect:
    """Return `problem` when `accept` names problem+json, else `dialect`.

    `accept` is the value of the `Accept` field, several joined by commas; empty when there is none.
    """
    if not accept or accept == b"*/*":
        return dialect
    return problem if names_problem(accept) else dialect


def names_problem(accept: bytes) -> bool:
    """Say whether `accept` names `application/problem+json` with a weight above zero.

    A weight that RFC 9110 section 12.4.2 does not allow makes its element count for nothing.
    """
    accept = accept.lower()
    if _WANTED not in accept:
        return False
    return any(_is_wanted(element) for element in _ELEMENT.findall(accept))


def _is_wanted(element: bytes) -> bool:
    media_type, _, rest = element.partition(b";")
    if media_type.strip(b" \t") != _WANTED:
        return False
    parameters = [part.strip(b" \t") for part in _PARAMETER.findall(rest)]
    weights = [part[2:] for part in parameters if part.startswith(b"q=")]
    return all(_WEIGHT.fullmatch(weight) and weight.strip(b"0.") for weight in weights)
