"""Makes one connection to an address: TCP or unix socket, plain or TLS.

Knows what each kind of address needs, and says in words why a connection could not be made. It must not know how many
there are.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.upstreams.connection import UpstreamConnection
from gateway.upstreams.tls import protocol_fault
from gateway.upstreams.tls_connection import TlsConnection

if TYPE_CHECKING:
    from gateway.upstreams.target import Target

_TLS_SHUTDOWN_SECONDS: Final = 2.0
"""How long an upstream may take to answer the announcement of our end; the transport's own 30 s hold a descriptor."""


async def open_connection(loop: asyncio.AbstractEventLoop, owner: Target) -> UpstreamConnection:
    """Return a connection to the owner's address, ready for a request; raise `OSError`."""
    address = owner.address
    if address.unix_path:
        plain = UpstreamConnection(owner)
        await loop.create_unix_connection(lambda: plain, address.unix_path)
        return plain
    if address.tls is None:
        plain = UpstreamConnection(owner)
        await loop.create_connection(lambda: plain, address.host, address.port)
        return plain
    connection = TlsConnection(owner)
    transport, _ = await loop.create_connection(
        lambda: connection,
        address.host,
        address.port,
        ssl=address.tls,
        server_hostname=address.server_name or address.host,
        ssl_shutdown_timeout=_TLS_SHUTDOWN_SECONDS,
    )
    if fault := protocol_fault(transport.get_extra_info("ssl_object").selected_alpn_protocol()):
        connection.close()
        raise ConnectionError(fault)
    return connection
