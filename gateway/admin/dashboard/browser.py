"""What browsers do that other clients do not: they bring cookies along, and act for whatever page asks them to.

Knows which names may lead here, which page a request comes from, and the one cookie. It must not know who is signed in.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from gateway.admin.problems import BadRequest

COOKIE: Final = "tollhouse_session"
_HOST_PREFIX: Final = "__Host-"
"""Browsers take such a cookie only over TLS, and give it to this very host (RFC 6265bis section 4.1.3.2)."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
COOKIE_LENGTH_MAX: Final = 100


def is_from_browser(request: web.Request) -> bool:
    """Tell whether a page asks: browsers say so, and no other client has a reason to."""
    return "Sec-Fetch-Site" in request.headers or "Origin" in request.headers


def read_cookie(request: web.Request) -> str:
    """Return the session's cookie, empty without one. Over TLS only the one that nobody else can have set counts."""
    own = request.cookies.get(_HOST_PREFIX + COOKIE, "")
    found = own or ("" if request.secure else request.cookies.get(COOKIE, ""))
    return found if len(found) <= COOKIE_LENGTH_MAX and found.isascii() else ""


def write_cookie(request: web.Request, response: web.Response, value: str) -> None:
    """Give the browser the cookie, or take it away when `value` is empty. It ends with the browser at the latest."""
    is_secure = _is_secure(request)
    name = _HOST_PREFIX + COOKIE if is_secure else COOKIE
    response.set_cookie(
        name,
        value,
        max_age=None if value else 0,
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="Strict",
    )


def require_host(request: web.Request, names: Collection[str]) -> None:
    """Raise `BadRequest` (421) for a name that must not lead here: a web page could have given it our address.

    On loopback that is every name but those of loopback and `names`; elsewhere every name but `names`, if there are
    any. An address in its place is nobody's name.
    """
    host = _name(request.host)
    if host in {name.lower() for name in names}:
        return
    if _is_local(request):
        is_known = is_loopback_name(host) or (_is_unix(request) and "." not in host)
    else:
        is_known = not names or _is_address(host)
    if not is_known:
        raise BadRequest(
            421,
            f"The dashboard is not known as '{host[:100]}': use localhost or 127.0.0.1, or list the name in"
            " `dashboard.hosts`.",
        )


def require_own_page(request: web.Request) -> None:
    """Raise `BadRequest` (403) unless one of our own pages asks, as far as browsers tell.

    Reading is also allowed to whoever typed the address. Changing needs a browser that says where it comes from.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    is_reading = request.method in SAFE_METHODS
    told = ("same-origin", "none", None) if is_reading else ("same-origin", None)
    is_told = is_reading or site is not None or origin is not None
    if not is_told or site not in told or not (origin is None or _is_own(request, origin)):
        raise BadRequest(
            403,
            "This was asked for by a page that is not ours, or a proxy in front changes the Host field.",
        )


def is_loopback_name(host: str) -> bool:
    """Tell whether `host` (lower case, without a port) always means this machine (RFC 6761 section 6.3)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return _is_address(host) and ip_address(host).is_loopback


def is_rebound(request: web.Request) -> bool:
    """Tell whether a request on a unix socket may come from a web page through a forwarded port: it names a domain."""
    host = _name(request.host)
    return "." in host and not is_loopback_name(host)


def _is_own(request: web.Request, origin: str) -> bool:
    try:
        parts = urlsplit(origin if origin.isprintable() else "")
    except ValueError:
        return False
    # A proxy in front may speak TLS where we do not, never the other way round.
    schemes = ("https",) if request.secure else ("https", "http")
    return parts.scheme in schemes and _without_port(parts.netloc, parts.scheme) == _without_port(
        request.host, parts.scheme
    )


def _without_port(host: str, scheme: str) -> str:
    """Return `host` in lower case, without the port that the scheme implies."""
    return host.lower().removesuffix(":443" if scheme == "https" else ":80")


def _is_secure(request: web.Request) -> bool:
    return request.secure or request.headers.get("Origin", "").startswith("https://")


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_unix(request: web.Request) -> bool:
    sock = request.get_extra_info("socket")
    return sock is not None and sock.family == socket.AF_UNIX


def _is_local(request: web.Request) -> bool:
    """Tell whether the connection came in on an address that only this machine reaches."""
    if _is_unix(request):
        return True
    name = request.get_extra_info("sockname")
    address = str(name[0]).partition("%")[0] if name else ""
    if not _is_address(address):
        return True
    found = ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return found.is_loopback or (mapped is not None and mapped.is_loopback)
