"""The kinds of values that come from HTTP and IP: addresses, hosts, methods, fields, patterns.

Knows their grammar and what may never be configured (hop-by-hop fields, CONNECT). It must not know
which routes or upstreams exist.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address, ip_address, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator

from gateway.config.sections.values import Label, Text

FRAMING: Final = frozenset(
    {
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Fields that belong to one connection or frame the message (RFC 9110 section 7.6.1): never ours to
set."""

UNIX: Final = "unix:"

_TCHAR: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"  # RFC 9110 section 5.6.2
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = rf"{_LABEL}(?:\.{_LABEL})*"
HOST_PORT: Final = re.compile(rf"(\[[0-9A-Fa-f:.]+\]|{_HOST}):([0-9]{{1,5}})")


def split_bind(bind: str) -> tuple[str, int]:
    """Return `(host, port)` of `host:port` or `[v6]:port`, or `(path, -1)` of `unix:path`.

    Raises `ValueError` with the rule that is broken.
    """
    if bind.startswith(UNIX):
        path = bind.removeprefix(UNIX)
        if not path or "\0" in path:
            raise ValueError("must name a path after `unix:`")
        return path, -1
    found = HOST_PORT.fullmatch(bind)
    if found is None or int(found[2]) > 65535:
        raise ValueError("must be `address:port`, `[address]:port` or `unix:path`")
    host = found[1].strip("[]")
    if found[1].startswith("["):
        _address(host)
    return host, int(found[2])


def _address(text: str) -> None:
    try:
        ip_address(text)
    except ValueError:
        raise ValueError("is not an IP address") from None


def _bind(value: str) -> str:
    split_bind(value)
    return value


def _network(value: str) -> str:
    """Accept an address or a CIDR range; a range with host bits set is a typing error."""
    try:
        ip_network(value)
    except ValueError:
        try:
            meant = ip_network(value, strict=False)
        except ValueError:
            raise ValueError("is not an IP address or CIDR range") from None
        raise ValueError(f"has host bits set (did you mean '{meant}'?)") from None
    return value


def _link(value: str) -> str:
    """Accept empty or an absolute web address."""
    if value and not re.fullmatch(r"https?://[!#-;=?-\[\]-~]+", value):
        raise ValueError("must be an http(s) URL")
    return value


def _method(value: str) -> str:
    if value in {"CONNECT", "TRACE"}:
        # RFC 9110 sections 9.3.6 and 9.3.8: a tunnel past every rule, and a mirror for credentials.
        raise ValueError("is never routed")
    if re.fullmatch(r"[A-Z][A-Z0-9-]{0,31}|\*", value) is None:
        upper = value.upper()
        hint = f" (did you mean '{upper}'?)" if re.fullmatch(r"[A-Z-]{1,32}", upper) else ""
        raise ValueError(f"is not a method: upper-case letters, or `*` for every method{hint}")
    return value


def _field_name(value: str) -> str:
    if re.fullmatch(rf"{_TCHAR}{{1,100}}", value) is None:
        raise ValueError("is not a header name (RFC 9110 section 5.1)")
    if value.lower() in FRAMING:
        raise ValueError("belongs to the connection or frames the message: it cannot be configured")
    return value


def _optional_field_name(value: str) -> str:
    return _field_name(value) if value else value


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error.msg}") from None
    except (RecursionError, OverflowError):
        raise ValueError("is not a regular expression: nested or repeated too much") from None
    return value


Bind = Annotated[str, AfterValidator(_bind), Label("address:port, [address]:port or unix:path")]
Network = Annotated[str, AfterValidator(_network), Label("address or CIDR range")]
Link = Annotated[str, AfterValidator(_link), Label("http(s) URL or empty")]
Method = Annotated[str, AfterValidator(_method), Label("method or *")]
FieldName = Annotated[str, AfterValidator(_field_name), Label("header name")]
OptionalFieldName = Annotated[
    str, AfterValidator(_optional_field_name), Label("header name or empty")
]
FieldValue = Annotated[
    str,
    Text(
        r"(?:[\x21-\x7e](?:[\t\x20-\x7e]{0,8190}[\x21-\x7e])?)?",
        "printable ASCII on one line, without space at either end",
    ),
    Label("header value"),
]
Regex = Annotated[str, AfterValidator(_regex), Label("regular expression or empty")]


def _one_spelling(host: str) -> str:
    """Return a host as requests have it: an IPv6 address as RFC 5952 spells it."""
    if not host.startswith("["):
        return host
    try:
        return f"[{IPv6Address(host[1:-1])}]"
    except AddressValueError:
        raise ValueError("must be an IPv6 address between the brackets") from None


HostPattern = Annotated[
    str,
    Text(
        rf"(?:\*\.)?{_HOST}|\[[0-9A-Fa-f:.]+\]",
        "a lower-case host name without port, `*.example.com` or `[v6 address]`",
    ),
    AfterValidator(_one_spelling),
    Label("host name"),
]
UpstreamHost = Annotated[
    str,
    Text(
        rf"preserve|upstream|(?:{_HOST}|\[[0-9a-f:.]+\])(?::[0-9]{{1,5}})?",
        "`preserve`, `upstream` or a lower-case host name",
    ),
    Label("`preserve`, `upstream` or a host name"),
]
OptionalHost = Annotated[
    str,
    Text(
        rf"(?:(?:{_HOST}|\[[0-9a-f:.]+\])(?::[0-9]{{1,5}})?)?",
        "a lower-case host name, or empty for none",
    ),
    Label("host name or empty"),
]
