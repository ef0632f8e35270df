"""The kinds of single values: durations, sizes, counts, names, secrets.

Knows how a person writes a value and what it becomes (seconds, bytes, text). It must not know which
key holds it. A message never repeats the value: it may have come from a secret file.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SecretStr,
    Strict,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class Interpolated(str):
    """Text that came through `${...}`: typed only when the target is known, never repeated."""

    __slots__ = ()


class Label:
    """Names a kind of value for the reference: `duration`, `size`, `name`."""

    def __init__(self, text: str) -> None:
        self.text = text


class Text:
    """Demands that text matches `pattern` as a whole; `rule` completes "must be ..."."""

    def __init__(self, pattern: str, rule: str) -> None:
        self.pattern = pattern
        self.rule = rule
        self._matches = re.compile(pattern).fullmatch

    def _check(self, value: str) -> str:
        if self._matches(value) is None:
            raise ValueError(f"must be {self.rule}")
        return value

    def __get_pydantic_core_schema__(
        self, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # An editor sees `${...}` before it is replaced, so that must pass as well.
        return {**handler(schema), "pattern": rf"^(?:{self.pattern})$|\$\{{"}


UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
UNIT_BYTES: Final = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
DURATION_MAX: Final = 100 * 365 * UNIT_SECONDS["d"]
"""A century: more is a mistake of units, and it keeps every timer inside what the kernel takes."""

SIZE_MAX: Final = 2**50

_NUMBER: Final = r"[0-9]{1,15}(?:\.[0-9]{1,6})?"
_DURATION: Final = re.compile(rf"({_NUMBER}) ?(ms|s|m|h|d|w)")
_PLAIN_NUMBER: Final = re.compile(_NUMBER)
_ISO_DURATION: Final = re.compile(
    rf"P(?=[0-9T])(?:({_NUMBER})W)?(?:({_NUMBER})D)?"
    rf"(?:T(?=[0-9])(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?"
)
_SIZE: Final = re.compile(r"([0-9]{1,15}) ?(B|[kKMGT]B|[KMGT]iB)")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")

_DURATION_HELP: Final = "write 30s, 5m, 12h, 30d, 250ms, PT30S, P30D or a number of seconds"
_SIZE_HELP: Final = "write 64KiB, 1MiB, 10MB or a number of bytes"


def read_duration(value: object) -> float:
    """Return seconds for `30d`, `12h`, `5m`, `10s`, `250ms`, ISO 8601 (`PT30S`, `P30D`) or a
    number.

    Months and years of ISO 8601 are refused: they have no fixed length.
    """
    seconds = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = math.inf if abs(value) > DURATION_MAX else float(value)
    elif isinstance(value, str):
        seconds = _duration_of_text(value.strip())
    if math.isnan(seconds):
        raise ValueError(f"is not a duration: {_DURATION_HELP}")
    if seconds < 0:
        raise ValueError("must not be negative")
    if seconds > DURATION_MAX:
        raise ValueError("is longer than a hundred years")
    return seconds


def _duration_of_text(text: str) -> float:
    if found := _DURATION.fullmatch(text):
        return float(found[1]) * UNIT_SECONDS[found[2]]
    if found := _ISO_DURATION.fullmatch(text):
        parts = zip(found.groups(default="0"), "wdhms", strict=True)
        return sum(float(number) * UNIT_SECONDS[unit] for number, unit in parts)
    return float(text) if _PLAIN_NUMBER.fullmatch(text) else math.nan


def read_size(value: object) -> int:
    """Return bytes for `64KiB` (1024), `10MB` (1000) or a whole number of bytes."""
    if isinstance(value, str):
        text = value.strip()
        if found := _SIZE.fullmatch(text):
            value = int(found[1]) * UNIT_BYTES[found[2]]
        elif _INTEGER.fullmatch(text):
            value = int(text)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"is not a size: {_SIZE_HELP}")  # noqa: TRY004 - pydantic reads ValueError
    if value > SIZE_MAX:
        raise ValueError("is larger than 1024 TiB")
    return value


def read_number(value: object) -> float:
    """Return the number that `value` is or, from `${...}`, spells."""
    if isinstance(value, Interpolated) and _PLAIN_NUMBER.fullmatch(value.strip()):
        return float(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("is not a number")  # noqa: TRY004 - pydantic reads ValueError
    return float(value)


def _typed(value: object) -> object:
    """Give interpolated text the type that YAML would have given it."""
    if isinstance(value, Interpolated):
        text = value.strip()
        if _INTEGER.fullmatch(text):
            return int(text)
        return {"true": True, "false": False}.get(text.lower(), value)
    return value


def _above_zero(value: float) -> float:
    if value <= 0:
        raise ValueError("must be greater than zero")
    return value


def _written(kind: str, numeric: str) -> WithJsonSchema:
    """Describe a value that may be a number or text with a unit (or `${...}`)."""
    limit = {"exclusiveMinimum": 0}
    return WithJsonSchema(
        {"anyOf": [{"type": numeric, **limit}, {"type": "string"}], "title": kind}
    )


Duration = Annotated[
    float, AfterValidator(_above_zero), BeforeValidator(read_duration), Label("duration"),
    _written("duration", "number"),
]  # fmt: skip
"""Seconds, greater than zero."""

DurationOrOff = Annotated[
    float, BeforeValidator(read_duration), Label("duration, 0 = off"),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}),
]  # fmt: skip
"""Seconds; zero switches the limit off."""

Size = Annotated[
    int, AfterValidator(_above_zero), BeforeValidator(read_size), Label("size"),
    _written("size", "integer"),
]  # fmt: skip
"""Bytes, greater than zero."""

Count = Annotated[
    int, Strict(), Field(ge=1, le=10**12), BeforeValidator(_typed), Label("whole number")
]
"""A whole number, at least 1."""

Share = Annotated[
    float, Field(ge=0, le=1), BeforeValidator(read_number), Label("share, 0 to 1"),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string"}]}),
]  # fmt: skip
"""A part of a whole: 0.5 is half of it."""

FactorOrOff = Annotated[
    float, Field(ge=0, le=10), BeforeValidator(read_number), Label("factor, 0 = off"),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 10}, {"type": "string"}]}),
]  # fmt: skip
"""A multiple of something, up to ten; zero switches it off."""

Integer = Annotated[int, Strict(), BeforeValidator(_typed), Label("whole number")]
Mode = Literal["enforce", "shadow"]
"""Whether a rule refuses, or is only tried."""

Flag = Annotated[bool, Strict(), BeforeValidator(_typed), Label("true or false")]

Name = Annotated[
    str,
    Text(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        "a name: letters, digits, `.`, `_` and `-`, at most 64 characters",
    ),
    Label("name"),
]
"""A name that may become a metric label, a part of a bucket's name or of a log line."""

OptionalName = Annotated[
    str,
    Text(
        r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,63})?",
        "a name: letters, digits, `.`, `_` and `-`, at most 64 characters",
    ),
    Label("name"),
]
"""A name, or empty for none."""

Prefix = Annotated[
    str,
    Text(
        r"(?:[a-z][a-z0-9]{1,9})?",
        "2 to 10 lower-case letters and digits, a letter first; or empty for foreign tokens",
    ),
    Label("text"),
]

EnvironmentName = Annotated[
    str,
    # It stands between two `_` in a token, so it can hold none itself.
    Text(r"[a-z][a-z0-9]{0,15}", "a lower-case letter and up to 15 letters or digits"),
    Label("name"),
]

_SCOPE: Final = r"[\x21\x23-\x29\x2b-\x39\x3b-\x5b\x5d-\x7e]{1,100}"
"""A segment of RFC 6749's scope-token, which is what a challenge can carry; `*` is for wildcards.
"""

Atom = Annotated[
    str,
    Text(
        rf"{_SCOPE}(?::{_SCOPE}){{0,7}}",
        "an atom such as `jobs:read`: printable ASCII without space, quote, backslash and `*`",
    ),
    Label("scope"),
]
"""One scope as RFC 6749 section 3.3 spells it, without `*`."""

Granted = Annotated[
    str,
    Text(
        rf"(?:{_SCOPE}|\*)(?::(?:{_SCOPE}|\*)){{0,7}}",
        "an atom, a bundle or a wildcard in which `*` stands for a whole segment",
    ),
    Label("scope, bundle or wildcard"),
]
"""What a key may be given: an atom, a bundle's name or a wildcard (`*:read`, `read:*`, `*`)."""

Tag = Annotated[
    str,
    Text(r"[!-~](?:[ -~]{0,48}[!-~])?", "1 to 50 printable ASCII characters"),
    Label("text"),
]

Secret = Annotated[SecretStr, Label("secret")]
"""Text that no repr, log line or message shows."""
