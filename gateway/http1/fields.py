"""What the fields of a head say about its message: framing, connection, upgrade.

Knows the rules that requests and responses share (RFC 9110 section 7, RFC 9112 sections 5 and 6). The grammar of field
lines is llhttp's; what a field means is judged here. Where the RFC lets a recipient repair or refuse, these rules
refuse. It must not know sockets or policy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import httptools

from gateway.domain.request import Field

_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_WHITESPACE: Final = b" \t"
_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()

_START_LINE: Final = b"HTTP/1.1 204 "
"""What llhttp sees instead of the start line. Of requests it knows only some methods, which are an open set (RFC 9110
section 9.1), and it judges framing by rules that change with method, status and `Upgrade`: that is done here."""


class MessageError(Exception):
    """A message broke a rule of HTTP; the text names the rule and is for the log."""


class Lines:
    """The field lines of one head, read by llhttp: `fields` in order."""

    __slots__ = ("_by_name", "_is_whole", "fields")

    def __init__(self, block: bytes) -> None:
        """Read `block`, from the CRLF of the start line to the empty line; raises `MessageError`."""
        self.fields: list[Field] = []
        self._by_name: dict[bytes, list[bytes]] = {}
        self._is_whole = False
        try:
            httptools.HttpResponseParser(self).feed_data(_START_LINE + block)
        except httptools.HttpParserError as error:
            raise MessageError(f"{error} (RFC 9112 section 5)") from None
        if not self._is_whole:
            raise MessageError("head is not whole (RFC 9112 section 2.1)")

    def values(self, name: bytes) -> Sequence[bytes]:
        """Return the values of every field called `name` (lower case), in order."""
        return self._by_name.get(name, ())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one field (called by llhttp, which leaves whitespace at the end of values)."""
        if self._is_whole:
            raise MessageError("field after the end of the head")
        lower = name.lower()
        value = value.rstrip(_WHITESPACE)
        self.fields.append((lower, name, value))
        values = self._by_name.get(lower)
        if values is None:
            self._by_name[lower] = [value]
        else:
            values.append(value)

    def on_headers_complete(self) -> None:
        """Note the empty line (called by llhttp)."""
        self._is_whole = True


def is_token(text: bytes) -> bool:
    """Tell whether `text` is a token (RFC 9110 section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def list_members(values: Sequence[bytes]) -> list[bytes]:
    """Return the lower-case members of a comma-separated list field, without empty ones.

    Source: RFC 9110 section 5.6.1.
    """
    members = (part.strip(_WHITESPACE) for value in values for part in value.split(b","))
    return [member.lower() for member in members if member]


def whole_number(values: Sequence[bytes], name: str) -> int:
    """Read a field that holds one plain number.

    Lists and repetitions are refused even if equal: in `Content-Length` they are how smuggling begins (RFC 9112
    section 6.3).
    """
    if len(values) != 1 or _LENGTH.fullmatch(values[0]) is None:
        raise MessageError(
            f"{name} is repeated or is not a plain number (RFC 9110 sections 7.6.2 and 8.6)"
        )
    return int(values[0])


def is_chunked(codings: Sequence[bytes]) -> bool:
    """Tell whether the transfer coding is exactly `chunked`, the only one this gateway reads."""
    return len(codings) == 1 and codings[0].lower() == b"chunked"


def connection_options(values: Sequence[bytes]) -> frozenset[bytes]:
    """Return the lower-case options of all `Connection` fields (RFC 9110 section 7.6.1)."""
    if not values:
        return _NO_OPTIONS
    options = frozenset(list_members(values))
    if not all(map(is_token, options)):
        raise MessageError("a connection option is not a token (RFC 9110 section 7.6.1)")
    return options


def protocols(values: Sequence[bytes]) -> list[bytes]:
    """Return the lower-case protocols of all `Upgrade` fields, such as `websocket` (RFC 9110 section 7.8)."""
    offered = list_members(values)
    for protocol in offered:
        name, slash, version = protocol.partition(b"/")
        if not is_token(name) or (slash and not is_token(version)):
            raise MessageError("malformed upgrade (RFC 9110 section 7.8)")
    return offered


def keeps_alive(options: frozenset[bytes], *, is_http_10: bool) -> bool:
    """Tell whether the connection may carry another message (RFC 9112 section 9.3)."""
    if b"close" in options:
        return False
    return b"keep-alive" in options if is_http_10 else True
