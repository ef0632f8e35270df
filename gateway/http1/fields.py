"""What the fields of a head say about its message: framing, connection, upgrade.

Knows the rules that requests and responses share (RFC 9110 section 7, RFC 9112 section 6). Where the RFC lets a
recipient repair or refuse, these rules refuse. It must not know sockets or policy.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.domain.request import Field

_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_WHITESPACE: Final = b" \t"


class MessageError(Exception):
    """A message broke a rule of HTTP; the text names the rule and is for the log."""


def is_token(text: bytes) -> bool:
    """Tell whether `text` is a token (RFC 9110 section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def values_of(fields: tuple[Field, ...], name: bytes) -> list[bytes]:
    """Return the values of every field called `name` (lower case), in order."""
    return [value for lower, _, value in fields if lower == name]


def list_members(values: list[bytes]) -> list[bytes]:
    """Return the lower-case members of a comma-separated list field, empty ones left out (RFC 9110 section 5.6.1)."""
    return [m for value in values for part in value.split(b",") if (m := part.strip(_WHITESPACE).lower())]


def content_length(values: list[bytes]) -> int:
    """Read `Content-Length`. Lists and repetitions are refused even if equal: they are how smuggling begins."""
    if len(values) != 1 or _LENGTH.fullmatch(values[0]) is None:
        raise MessageError("content-length is repeated or is not a plain number (RFC 9112 section 6.3)")
    return int(values[0])


def is_chunked(values: list[bytes]) -> bool:
    """Tell whether the transfer coding is exactly `chunked`, the only one this gateway reads."""
    return len(values) == 1 and values[0].lower() == b"chunked"


def connection_options(fields: tuple[Field, ...]) -> frozenset[bytes]:
    """Return the lower-case options of all `Connection` fields (RFC 9110 section 7.6.1)."""
    members = list_members(values_of(fields, b"connection"))
    for member in members:
        if not is_token(member):
            raise MessageError("a connection option is not a token (RFC 9110 section 7.6.1)")
    return frozenset(members)


def keeps_alive(options: frozenset[bytes], *, is_http_10: bool) -> bool:
    """Tell whether the connection may carry another message (RFC 9112 section 9.3)."""
    if b"close" in options:
        return False
    return b"keep-alive" in options if is_http_10 else True
