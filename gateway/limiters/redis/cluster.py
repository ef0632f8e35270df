"""A Redis Cluster: a connection to each of its masters, and which of them has what.

Implements `exact.Server`. Knows slots, and that a node says so when it has one no more. It must not know limits, nor
what a call is about: its first key alone says where it goes.
"""

from __future__ import annotations

import asyncio
from binascii import crc_hqx
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, MovedError, RedisError, ResponseError, TryAgainError

from gateway.limiters.redis.calls import Awaited, Call, command
from gateway.limiters.redis.dial import Dialer
from gateway.limiters.redis.link import Link, hang_up, reason
from gateway.ports import LimiterUnavailable

SLOTS: Final = 16_384
_LOOK_SECONDS: Final = 10.0
"""How often the cluster is asked who has what, if nothing calls for it earlier."""

_HOPS_MAX: Final = 5
"""Nodes that do not agree who has a slot send a call no further."""

Address = tuple[str, int]


def slot_of(key: bytes) -> int:
    """Return the slot of a key: what stands in its first braces decides, if there is any."""
    _, brace, rest = key.partition(b"{")
    inner, closing, _ = rest.partition(b"}")
    return crc_hqx(inner if brace and closing and inner else key, 0) % SLOTS


class Cluster:
    """The masters of a cluster, found by way of `dialer`. `greet` is given the probe key of each new connection."""

    def __init__(
        self,
        dialer: Dialer,
        *,
        timeout_seconds: Callable[[], float],
        retry_seconds: Callable[[], float],
        greet: Callable[[Link, bytes], Awaitable[None]],
        changed: Callable[[str], None],
        whole: Callable[[], Awaitable[None]],
        probe: bytes,
    ) -> None:
        self._dialer = dialer
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds
        self._greet = greet
        self._changed = changed
        self._whole = whole
        self._probe = probe
        self._links: dict[Address, Link] = {}
        self._owners: list[Address | None] = [None] * SLOTS
        self._stopping = asyncio.Event()
        self._look = asyncio.Event()
        self._tried = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._was_whole = False
        self.why = "not connected yet"

    # ---- calls

    @property
    def is_up(self) -> bool:
        """Whether any master is reached: the buckets of the others are counted in another way meanwhile."""
        return any(link.is_up for link in self._links.values())

    @property
    def takes_calls(self) -> bool:
        """Whether a call can be sent to every master."""
        return self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether all masters are."""
        return None not in self._owners and all(link.is_up for link in self._links.values())

    def send(self, call: Call) -> None:
        """Send a call to whoever has its key. Raises `LimiterUnavailable`."""
        address = self._owners[slot_of(call.key)]
        link = self._links.get(address) if address is not None else None
        if link is None:
            raise LimiterUnavailable(f"no node of the cluster has it: {self.why}")
        link.send(call)

    async def ask(self, call: Awaited) -> Any:
        """Send a call and return its answer. Raises `LimiterUnavailable`."""
        self.send(call)
        return await call.done

    async def settled(self) -> None:
        """Return when all that was sent before has been answered, or will not be."""
        links = [link.settled() for link in self._links.values()]
        await asyncio.gather(*links, return_exceptions=True)

    # ---- life

    async def run(self) -> None:
        """Keep a connection to each master until `stop`."""
        async with asyncio.TaskGroup() as self._tasks:
            while not self._stopping.is_set():
                try:
                    self._follow(await self._slots())
                except LimiterUnavailable as error:
                    self._tell(str(error))
                    self._tried.set()
                await self._pause(_LOOK_SECONDS if self.is_whole else self._retry_seconds())
            for link in self._links.values():
                link.stop()

    async def tried(self) -> None:
        """Return when the first attempt has succeeded or failed."""
        await self._tried.wait()

    def stop(self) -> None:
        """Let `run` return; what waits is failed."""
        self._stopping.set()
        self._look.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._look.wait()
        except TimeoutError:
            return
        self._look.clear()

    async def _slots(self) -> Sequence[Any]:
        """Ask any node who has what."""
        said: list[str] = []
        for host, port in (*self._links, ("", 0)):
            try:
                connection = await self._dialer.dial_at(host, port)
            except LimiterUnavailable as error:
                said.append(str(error))
                continue
            try:
                async with asyncio.timeout(self._timeout_seconds()):
                    await connection.send_command("CLUSTER", "SLOTS", check_health=False)
                    found: Sequence[Any] = await connection.read_response(disable_decoding=True)
                    return [_named(each, _host(connection)) for each in found]
            except (RedisError, OSError, TypeError, ValueError, IndexError) as error:
                said.append(reason(error))
            finally:
                await hang_up(connection)
        raise LimiterUnavailable("; ".join(dict.fromkeys(said)))

    def _follow(self, slots: Sequence[Any]) -> None:
        owners: list[Address | None] = [None] * SLOTS
        for first, last, address in slots:
            owners[first : last + 1] = [address] * (last + 1 - first)
        self._owners = owners
        masters = {address for address in owners if address is not None}
        for address in self._links.keys() - masters:
            self._links.pop(address).stop()
        for address in masters:
            self._link(address)
        self._tell("" if masters else "no node has any slot")

    def _link(self, address: Address) -> Link:
        link = self._links.get(address)
        if link is None:
            assert self._tasks is not None
            link = self._links[address] = Link(
                lambda: self._dialer.dial_at(*address),
                timeout_seconds=self._timeout_seconds,
                retry_seconds=self._retry_seconds,
                greet=lambda: self._greet_one(address),
                changed=lambda why: self._link_changed(address, why),
                moved=self._moved,
            )
            self._tasks.create_task(link.run(), name="a connection to a node of the cluster")
        return link

    async def _greet_one(self, address: Address) -> None:
        await self._greet(self._links[address], self._probe_of(address))

    def _probe_of(self, address: Address) -> bytes:
        """Return a key that lies on this master."""
        for number in count():
            key = b"%b:{%d}" % (self._probe, number)
            if self._owners[slot_of(key)] == address or number > SLOTS:
                return key
        raise AssertionError("numbers do not end")

    # ---- changes

    def _link_changed(self, address: Address, why: str) -> None:
        if why:
            self._look.set()  # somebody may have taken its place
        self._tell(f"{address[0]}:{address[1]}: {why}" if why else "")

    def _tell(self, why: str) -> None:
        """Say so when the cluster is whole, or no more."""
        if not why and self.is_whole:
            if self._was_whole:
                return
            self._was_whole = True
            self.why = ""
            self._changed("")
            self._tried.set()
            if self._tasks is not None:
                self._tasks.create_task(self._whole_again(), name="settling with the cluster")
        elif why:
            self._was_whole = False
            self.why = why
            if not self._stopping.is_set():
                self._changed(why)
            self._tried.set()

    async def _whole_again(self) -> None:
        try:
            await self._whole()
        except LimiterUnavailable as error:
            self.why = str(error)

    def _moved(self, call: Call, error: ResponseError) -> bool:
        """Send a call to where a node says that its slot is now, or is just being moved to."""
        if isinstance(error, TryAgainError):  # its keys are on their way, some here and some there
            call.fail(LimiterUnavailable("a slot of the cluster is being moved"))
            return True
        if not isinstance(error, AskError):
            return False
        call.hops += 1
        if call.hops > _HOPS_MAX:
            call.fail(LimiterUnavailable(f"no node of the cluster has slot {error.slot_id}"))
            return True
        address = (error.host or self._dialer.host, error.port)
        is_there = isinstance(error, MovedError)
        if is_there:
            self._owners[error.slot_id] = address
            self._look.set()
        link = self._link(address)
        try:
            if not is_there:
                link.send(command(b"ASKING"))
            link.send(call)
        except LimiterUnavailable as unavailable:
            call.fail(unavailable)
        return True


def _host(connection: AbstractConnection) -> str:
    return str(getattr(connection, "host", ""))


def _named(entry: Sequence[Any], asked: str) -> tuple[int, int, Address]:
    """Return first and last slot and their master; a node that does not know its own name has that of who was asked."""
    first, last, master = entry[:3]
    name = (master[0] or b"").decode()
    return int(first), int(last), (name if name not in {"", "?"} else asked, int(master[1]))
