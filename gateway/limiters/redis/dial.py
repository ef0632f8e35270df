"""How Redis is reached: directly, over TLS, through a socket of this machine, or where a sentinel says.

Knows addresses, credentials and certificates. It must not know what is asked. Errors of the driver end here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import RedisError, ResponseError

from gateway.config.model import Limits, redis_parts
from gateway.limiters.redis.link import hang_up, reason
from gateway.ports import LimiterUnavailable

_NAME: Final = "tollhouse"
"""What `CLIENT LIST` shows."""


class Dialer:
    """Opens connections to the Redis of `section`; relative paths of certificates start at `folder`."""

    def __init__(self, section: Limits, folder: Path) -> None:
        self._section = section
        self._parts = redis_parts(section.url.get_secret_value())
        self._folder = folder

    @property
    def place(self) -> str:
        """Where Redis is said to be, without the password."""
        if not self._section.sentinels:
            return self._parts.place
        return f"{self._parts.host} by {', '.join(self._section.sentinels)}"

    @property
    def host(self) -> str:
        """The host that the URL names."""
        return self._parts.host

    async def dial(self) -> AbstractConnection:
        """Return an open connection to where Redis is said to be. Raises `LimiterUnavailable`."""
        return await self.dial_at("", 0)

    async def dial_at(self, host: str, port: int) -> AbstractConnection:
        """Return an open connection to this node of a cluster. Raises `LimiterUnavailable`."""
        try:
            async with asyncio.timeout(self._section.connect_timeout):
                if not host:
                    host, port = self._parts.host, self._parts.port
                    if self._section.sentinels:
                        host, port = await self._master()
                return await _opened(self.connection(host, port))
        except TimeoutError:
            seconds = self._section.connect_timeout
            raise LimiterUnavailable(f"no connection within {seconds:g} s") from None
        except (RedisError, OSError) as error:
            raise LimiterUnavailable(reason(error)) from error

    def follow(self, section: Limits) -> None:
        """Follow changed settings, from the next connection on."""
        self._section = section

    def connection(self, host: str, port: int) -> AbstractConnection:
        """Return a connection to Redis at this address, not open yet."""
        parts = self._parts
        common = {
            "db": parts.database,
            "username": parts.username or None,
            "password": parts.password or None,
            **self._shared(),
        }
        if parts.path:
            return UnixDomainSocketConnection(path=parts.path, **common)
        if parts.is_tls:
            return SSLConnection(host=host, port=port, **self.certificates(), **common)
        return Connection(host=host, port=port, **common)

    def _shared(self) -> dict[str, Any]:
        # Deadlines are the link's: `socket_timeout` would be one timer for each answer.
        return {
            "client_name": _NAME,
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": self._section.connect_timeout,
        }

    def certificates(self) -> dict[str, Any]:
        """Return the files of TLS, by what redis-py calls them."""
        section = self._section.tls
        named = {
            "ssl_ca_certs": section.ca,
            "ssl_certfile": section.certificate,
            "ssl_keyfile": section.key or section.certificate,
        }
        return {name: str(self._folder / file) for name, file in named.items() if file}

    async def _master(self) -> tuple[str, int]:
        """Return where the sentinels say that the service is: the first that knows is believed."""
        said: list[str] = []
        for address in self._section.sentinels:
            try:
                return await self._ask(address)
            except (RedisError, OSError, LookupError) as error:
                said.append(f"{address}: {reason(error)}")
        raise LimiterUnavailable(f"no sentinel knows {self._parts.host!r} ({'; '.join(said)})")

    async def _ask(self, address: str) -> tuple[str, int]:
        section = self._section
        host, _, port = address.rpartition(":")
        kind: type[Connection] = SSLConnection if self._parts.is_tls else Connection
        certificates = self.certificates() if self._parts.is_tls else {}
        connection = kind(
            host=host.strip("[]"),
            port=int(port),
            username=section.sentinel_username or None,
            password=section.sentinel_password.get_secret_value() or None,
            **certificates,
            **self._shared(),
        )
        try:
            async with asyncio.timeout(section.connect_timeout / len(section.sentinels)):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command(
                    "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._parts.host, check_health=False
                )
                found = await connection.read_response(disable_decoding=True)
        finally:
            await hang_up(connection)
        if not found:
            raise LookupError("knows no such service")
        return found[0].decode(), int(found[1])


async def _opened(connection: AbstractConnection) -> AbstractConnection:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except ResponseError as error:  # such as a password that is wrong
        await hang_up(connection)
        raise LimiterUnavailable(reason(error)) from error
    except BaseException:
        await hang_up(connection)
        raise
    return connection
