"""Where a request to one of our aiohttp applications comes from.

Knows how such a request is read by the rule that finds clients behind proxies everywhere. It must not know which
proxies are trusted.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from gateway.domain.client_address import ClientAddressResolver
from gateway.domain.request import RequestHead

Addresses = Callable[[], ClientAddressResolver]
"""Returns the rule that is in force; the default, made without arguments, trusts nobody."""


def client_address(request: web.Request, addresses: Addresses) -> str:
    """Return the address that counts for a request, empty for a unix socket."""
    return addresses().resolve(peer_address(request), head_of_request(request)).address


def peer_address(request: web.Request) -> str:
    """Return the address at the other end of the connection, empty for a unix socket."""
    return request.remote or ""


def head_of_request(request: web.Request) -> RequestHead:
    """Return the fields of a request as a head, for whoever looks at nothing else."""
    fields = tuple((name.lower(), name, value) for name, value in request.raw_headers)
    return RequestHead(method="GET", target=b"/", path="/", fields=fields)
