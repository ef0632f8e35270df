"""Which secrets stand in a configuration itself, instead of being named by `${VAR}` or `${file:...}`.

Knows the types of the model that hold secrets, and headers that usually do. It must not know where a text is kept.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from gateway.config.problems import KeyPath, written
from gateway.config.sections.base import Section

_DATABASES: Final = frozenset({"postgresql", "postgres", "redis", "rediss"})
"""Addresses that are secret only for the password in them."""

_TELLING: Final = re.compile(r"auth|cookie|key|token|secret|password|credential", re.IGNORECASE)


def literal_secrets(config: Section, outside: Collection[str]) -> tuple[str, ...]:
    """Return the paths of values that are secret and did not come from `outside`, as a file would spell them."""
    return tuple(sorted(written(path) for path in _of_section(config, (), outside)))


def _of_section(section: Section, path: KeyPath, outside: Collection[str]) -> Iterator[KeyPath]:
    values = {**section.__dict__, **(section.__pydantic_extra__ or {})}
    for name, value in values.items():
        field = type(section).model_fields.get(name)
        is_hidden = field is not None and not field.repr
        yield from _of_value(value, (*path, name), outside, is_hidden=is_hidden)


def _of_value(
    value: Any, path: KeyPath, outside: Collection[str], *, is_hidden: bool
) -> Iterator[KeyPath]:
    if isinstance(value, Section):
        yield from _of_section(value, path, outside)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _of_value(each, (*path, name), outside, is_hidden=is_hidden)
    elif isinstance(value, tuple | list):
        for number, each in enumerate(value):
            yield from _of_value(each, (*path, number), outside, is_hidden=is_hidden)
    elif isinstance(value, SecretStr):
        if _is_literal(value.get_secret_value(), outside):
            yield path
    elif is_hidden and isinstance(value, str) and _is_telling(path, value, outside):
        yield path


def _is_telling(path: KeyPath, value: str, outside: Collection[str]) -> bool:
    """Tell whether a header is one that usually holds a secret, and nothing of its value came from outside."""
    is_named = any(each and each in value for each in outside)
    return bool(value) and not is_named and _TELLING.search(str(path[-1])) is not None


def _is_literal(secret: str, outside: Collection[str]) -> bool:
    if not secret or secret in outside:
        return False
    scheme, separator, _ = secret.partition("://")
    if not separator or scheme not in _DATABASES:
        return True
    try:
        password = urlsplit(secret).password
    except ValueError:
        return True
    return (bool(password) and password not in outside) or "password=" in secret.lower()
