"""The one connection of a gateway that listens to the others, and by which one of them is the leader.

Knows that a connection which ended may have missed something, so whoever listens is told as if there were news; and
that the database lets go of the leader's lock when its connection ends, or when it has shown no life for as long as
the lease. It must not know what news mean.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import asyncpg

from gateway.ports import StoreUnavailable
from gateway.stores.postgres.access import DRIVER_ERRORS, Access, ended_at, said

REVISION: Final = "tollhouse_revision"
ACKNOWLEDGED: Final = "tollhouse_acknowledged"
"""What is listened to: a new revision can be read; a gateway has acknowledged one. Triggers of the schema tell them."""

_LEADER: Final = 0x746F6C6C_6C656164
"""Whoever holds this advisory lock is the leader."""

_SECONDS_MAX: Final = 2.0
"""How long the server may take for one of the small things that are asked here."""

_TRY_TO_LEAD: Final = "SELECT pg_try_advisory_lock($1)"
_IDENTITY: Final = """
    SELECT concat_ws('/', system_identifier, timeline_id, pg_postmaster_start_time())
    FROM pg_control_system(), pg_control_checkpoint()
"""
"""Another one after a failover, a restore or a restart."""

_log = logging.getLogger(__name__)


class PostgresSession:
    """Implements `cluster_ports.Session`.

    `on_revision` and `on_acknowledged` are told of news and must return at once; `on_other_server` that the server is
    not the one from before, or was restarted: it may have lost what was acknowledged. `idle_seconds` is how long the
    server keeps a session that asks for nothing.
    """

    def __init__(
        self,
        access: Access,
        idle_seconds: Callable[[], float],
        *,
        on_revision: Callable[[], None],
        on_acknowledged: Callable[[], None],
        on_other_server: Callable[[], None],
    ) -> None:
        self._access = access
        self._idle_seconds = idle_seconds
        self._on_revision = on_revision
        self._on_acknowledged = on_acknowledged
        self._on_other_server = on_other_server
        self._connection: asyncpg.Connection | None = None
        self._is_leader = False
        self._server = ""

    @property
    def is_leader(self) -> bool:
        """Tell whether the lock is ours, as far as is known here."""
        return self._is_leader and self._connection is not None

    async def attend(self) -> None:
        """Listen, and try to become the leader. Raises `StoreUnavailable`."""
        try:
            connection = self._connection or await self._begin()
            with ended_at(connection, _soon()):
                milliseconds = max(1, round(self._idle_seconds() * 1000))
                await connection.execute(f"SET idle_session_timeout = {milliseconds}")
                if not self._is_leader:
                    self._is_leader = await connection.fetchval(_TRY_TO_LEAD, _LEADER)
                    if self._is_leader:
                        _log.info("this gateway leads: it does what only one of all may do")
        except (*DRIVER_ERRORS, ValueError) as error:
            self.drop()
            raise StoreUnavailable(f"store {self._access.address}: {said(error)}") from error

    async def _begin(self) -> asyncpg.Connection:
        connection = await self._access.connect()
        try:
            with ended_at(connection, _soon()):
                await connection.add_listener(REVISION, self._hear)
                await connection.add_listener(ACKNOWLEDGED, self._hear)
                server = await connection.fetchval(_IDENTITY)
        except BaseException:
            connection.terminate()
            raise
        connection.add_termination_listener(self._ended)
        self._connection = connection
        if self._server and server != self._server:
            _log.warning(
                "the database server is another one, or was restarted: what is in memory is read anew"
            )
            self._on_other_server()
        self._server = server
        self._on_revision()  # something may have happened while nobody listened
        self._on_acknowledged()
        return connection

    def _hear(self, _connection: object, _pid: int, channel: str, _payload: object) -> None:
        (self._on_revision if channel == REVISION else self._on_acknowledged)()

    def _ended(self, connection: object) -> None:
        if connection is self._connection:
            self.drop()

    def drop(self) -> None:
        """Let go of the connection, and with it of the lock."""
        connection, self._connection = self._connection, None
        if self._is_leader:
            _log.warning("the connection to the database ended: this gateway leads no more")
        self._is_leader = False
        if connection is not None and not connection.is_closed():
            connection.terminate()

    async def close(self) -> None:
        """Close the connection in good order: the next leader need not wait."""
        connection, self._connection = self._connection, None
        self._is_leader = False
        if connection is not None:
            with suppress(*DRIVER_ERRORS), ended_at(connection, _soon()):
                await connection.close()


def _soon() -> float:
    """Return when (loop time) the server must have answered."""
    return asyncio.get_running_loop().time() + _SECONDS_MAX
