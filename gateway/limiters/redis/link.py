"""One connection to Redis: what is asked within one turn of the event loop is sent in one write, and answered in order.

Knows deadlines, and that a connection on which one answer is late or wrong is good for nothing: it is closed, whoever
waits is told, and another one is tried again and again beside the requests. It must not know limits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from gateway.limiters.redis.calls import Awaited, Call, asked
from gateway.ports import LimiterUnavailable

PENDING_MAX: Final = 10_000
"""Calls that wait at most: as many as Redis answers in a fifth of a second."""

_GRACE_SECONDS: Final = 0.02
"""How much longer a late answer is waited for, so that what has come already can be read."""

_OF_ONE_CALL: Final = "WRONGTYPE"
"""What Redis says where somebody else has written to a key of ours: other calls fare better."""

_log = logging.getLogger(__name__)


class Link:
    """A connection that is made again whenever it is lost, by `run`.

    `dial` opens one, and raises `LimiterUnavailable` when there is none to be had. `greet` makes use of a new one
    before anybody else does, and may raise the same. `changed` is told each time when calls are taken (empty) or taken
    no more (why). `moved` is told what Redis says against a call, and returns whether it takes care of it.
    `timeout_seconds` bounds each call, `retry_seconds` is the pause between attempts; both are asked each time.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[AbstractConnection]],
        *,
        timeout_seconds: Callable[[], float],
        retry_seconds: Callable[[], float],
        greet: Callable[[], Awaitable[None]],
        changed: Callable[[str], None],
        moved: Callable[[Call, ResponseError], bool] = lambda _call, _error: False,
    ) -> None:
        self._dial = dial
        self._moved = moved
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds
        self._greet = greet
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._queued: list[Call] = []
        self._sent: deque[Call] = deque()
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tried = asyncio.Event()
        self._broken: asyncio.Future[str] = self._loop.create_future()
        self._alarm: asyncio.TimerHandle | None = None
        self._late: Call | None = None
        self._is_open = False
        self.is_up = False
        """Whether calls are taken from everybody; while a new connection is greeted, only from whoever does that."""
        self.why = "not connected yet"
        """Why they are not."""

    # ---- calls

    def send(self, call: Call) -> None:
        """Send `call` with all others of this turn. Raises `LimiterUnavailable` when that is out of the question."""
        if not self._is_open:
            raise LimiterUnavailable(f"Redis is not reached: {self.why}")
        if len(self._queued) + len(self._sent) >= PENDING_MAX:
            raise LimiterUnavailable(f"{PENDING_MAX} calls wait for Redis")
        call.deadline = self._loop.time() + self._timeout_seconds()
        self._queued.append(call)
        self._wake.set()
        if self._alarm is None:
            self._alarm = self._loop.call_at(call.deadline, self._look)

    @property
    def takes_calls(self) -> bool:
        """Whether there is a connection; it may still be being greeted."""
        return self._is_open

    @property
    def is_whole(self) -> bool:
        """Whether all is reached that there is."""
        return self.is_up

    async def ask(self, call: Awaited) -> Any:
        """Send a call and return its answer. Raises `LimiterUnavailable`."""
        self.send(call)
        return await call.done

    async def settled(self) -> None:
        """Return when all that was sent before has been answered. Raises `LimiterUnavailable`."""
        await self.ask(asked(b"PING"))

    # ---- life

    async def run(self) -> None:
        """Keep a connection until `stop`."""
        while not self._stopping.is_set():
            began = self._loop.time()
            try:
                connection = await self._dial()
            except LimiterUnavailable as error:
                self._lost(str(error))
            else:
                await self._serve(connection)
            self._tried.set()
            # One that has held for a while is replaced at once; others are not worth the hurry.
            await self._pause(began + self._retry_seconds() - self._loop.time())

    async def tried(self) -> None:
        """Return when the first attempt has succeeded or failed."""
        await self._tried.wait()

    def stop(self) -> None:
        """Let `run` return; what waits is failed."""
        self._stopping.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _serve(self, connection: AbstractConnection) -> None:
        """Use `connection` for as long as it can be used."""
        self._broken = self._loop.create_future()
        self._is_open = True
        try:
            async with asyncio.TaskGroup() as tasks:
                parts = [
                    tasks.create_task(self._guarded(part))
                    for part in (self._write(connection), self._read(connection), self._begin())
                ]
                parts.append(tasks.create_task(self._stop()))
                await asyncio.wait((self._broken,))
                for task in parts:
                    task.cancel()
        finally:
            self._is_open = False
            why = self._broken.result() if self._broken.done() else "stopped"
            self._lost(why)
            self._abandon(LimiterUnavailable(f"Redis is not reached: {why}"))
            await hang_up(connection)

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Do a part of the work on a connection; its failure is that of the connection."""
        try:
            await work
        except (RedisError, OSError, LimiterUnavailable) as error:
            self._break(reason(error))
        except Exception as error:  # noqa: BLE001 - a mistake in a driver costs a connection, not the gateway
            _log.exception("the connection to Redis failed")
            self._break(type(error).__name__)

    async def _stop(self) -> None:
        await self._stopping.wait()
        self._break("stopped")

    async def _begin(self) -> None:
        await self._greet()
        self.is_up = True
        self.why = ""
        self._changed("")
        self._tried.set()

    async def _write(self, connection: AbstractConnection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            calls, self._queued = self._queued, []
            # No turn passes between these two: answers come in the order of what was written.
            self._sent.extend(calls)
            written = b"".join([call.written() for call in calls])
            await _send(connection, written)

    async def _read(self, connection: AbstractConnection) -> None:
        sent = self._sent
        while True:
            try:
                reply = await connection.read_response(
                    disable_decoding=True, disconnect_on_error=False
                )
            except NoScriptError:
                call = sent.popleft()
                sent.append(call)
                await _send(connection, call.in_full())
            except ResponseError as error:
                if self._moved(sent[0], error):
                    sent.popleft()
                    continue
                if str(error).startswith(_OF_ONE_CALL):
                    sent.popleft().fail(LimiterUnavailable(f"Redis says: {reason(error)}"))
                    continue
                # Out of memory, read-only, busy: nothing that the next call would not meet as well.
                sent.popleft().fail(LimiterUnavailable(f"Redis refuses: {reason(error)}"))
                raise
            else:
                sent.popleft().finish(reply)

    # ---- the end of a connection

    def _look(self) -> None:
        """Break the connection if the oldest call is too late, else look again when it would be."""
        self._alarm = None
        oldest = self._sent[0] if self._sent else self._queued[0] if self._queued else None
        if oldest is None:
            return
        now, again = self._loop.time(), oldest.deadline
        if oldest.deadline <= now:
            timeout = self._timeout_seconds()
            if oldest is self._late or oldest.deadline + timeout <= now - _GRACE_SECONDS:
                self._break(f"no answer within {timeout:g} s")
                return
            # It may lie here unread, because something kept this process from running: read first, then judge.
            self._late = oldest
            again = now + _GRACE_SECONDS
        self._alarm = self._loop.call_at(again, self._look)

    def _break(self, why: str) -> None:
        self._is_open = self.is_up = False
        self.why = why
        if not self._broken.done():
            self._broken.set_result(why)

    def _lost(self, why: str) -> None:
        self.is_up = False
        self.why = why
        if not self._stopping.is_set():
            self._changed(why)

    def _abandon(self, error: LimiterUnavailable) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._late = None
        self._wake.clear()
        waiting = [*self._sent, *self._queued]
        self._sent.clear()
        self._queued = []
        for call in waiting:
            call.fail(error)


async def _send(connection: AbstractConnection, written: bytes) -> None:
    """Send on this connection, or fail: the driver would open another one, whose answers are those of nobody."""
    if not connection.is_connected:
        raise RedisConnectionError("the connection has ended")
    await connection.send_packed_command(written, check_health=False)


async def hang_up(connection: AbstractConnection) -> None:
    """Close a connection, whatever state it is in."""
    try:
        await connection.disconnect()
    except (RedisError, OSError) as error:
        _log.debug("closing a connection to Redis: %s", reason(error))


def reason(error: BaseException) -> str:
    """Say in one line what went wrong; errors of Redis name addresses and no secrets."""
    return " ".join(str(error).split())[:200] or type(error).__name__
