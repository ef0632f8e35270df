"""How the database is reached: one connection, with TLS and the settings that bound what it may wait for.

Knows the driver's arguments. It must not know SQL but for settings, nor how many connections there are.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from gateway.domain.database_address import DatabaseAddress

CONNECT_SECONDS_MAX: Final = 3.0
"""Shorter than an answer may take, so that a server which cannot be reached is named as the cause."""

STATEMENT_MILLISECONDS_MAX: Final = 4_500
LOCK_MILLISECONDS_MAX: Final = 4_000
"""Shorter than that, so that a locked row or table is named as the cause."""

IDLE_MILLISECONDS_MAX: Final = 5_000
"""How long the server lets a transaction wait for us: a process that stands still holds nobody up for longer."""

STATEMENTS_MAX: Final = 100
"""Prepared statements that the driver keeps for each connection."""

DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a connection says that ended between two messages
    OSError,
)
"""Everything that the driver raises."""

LIMITS: Final[Mapping[str, str]] = {
    "statement_timeout": str(STATEMENT_MILLISECONDS_MAX),
    "lock_timeout": str(LOCK_MILLISECONDS_MAX),
    "idle_in_transaction_session_timeout": str(IDLE_MILLISECONDS_MAX),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The way to a database. The files are PEM; without `ca` the system's authorities are believed.

    `is_pooled`: a pooler (PgBouncer) stands in between and takes no settings for a session. `is_preparing` off sends
    every statement anew. `limits` are settings of PostgreSQL that bound what is waited for.
    """

    address: DatabaseAddress
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    is_pooled: bool = False
    is_preparing: bool = True
    limits: Mapping[str, str] = field(default_factory=lambda: LIMITS)

    async def connect(self, **settings: str) -> asyncpg.Connection:
        """Return a new connection to a server that is no standby, with further `settings` of its session.

        Raises what the driver raises.
        """
        address = self.address
        limits = {} if self.is_pooled else self.limits
        connection: asyncpg.Connection = await asyncpg.connect(
            host=[host for host, _ in address.hosts],
            port=[port for _, port in address.hosts],
            user=address.user,
            password=address.password or None,
            database=address.database,
            ssl=self._tls() or False,
            timeout=CONNECT_SECONDS_MAX,
            statement_cache_size=STATEMENTS_MAX if self.is_preparing else 0,
            # A standby may be behind, and would still serve a key that was revoked.
            target_session_attrs="primary",
            server_settings={"application_name": "tollhouse", **limits, **address.settings}
            | settings,
        )
        return connection

    def _tls(self) -> ssl.SSLContext | None:
        """Return what TLS is spoken with, None for none: by default all beyond this machine is encrypted and proved."""
        mode = self.address.tls_mode
        mode = mode or ("disable" if self.address.is_local and self.ca is None else "verify-full")
        if mode == "disable":
            return None
        context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        context.check_hostname = mode == "verify-full"
        if mode == "require":
            context.verify_mode = ssl.CERT_NONE
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


@contextmanager
def ended_at(connection: asyncpg.Connection, deadline: float) -> Iterator[None]:
    """End `connection` at `deadline` (loop time), whatever is waited for then, and raise `TimeoutError`.

    The driver's own timeouts first ask the server to stop, over another connection: one that does not answer would be
    waited for once more.
    """
    is_late = False

    def end() -> None:
        nonlocal is_late
        is_late = True
        connection.terminate()

    timer = asyncio.get_running_loop().call_at(deadline, end)
    try:
        yield
    except Exception as error:
        if is_late:
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()


def said(error: Exception) -> str:
    """Return what an error of the driver says, without what a server adds to it: that may hold values of a row."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return (
        f"the connection broke: {text}" if isinstance(error, asyncpg.InternalClientError) else text
    )
