"""The limiter that asks Redis for every request: one script draws on all buckets of it, or on none.

Knows how a request becomes a call and an answer a grant, which requests in flight are counted there, and who decides
while nobody answers. It must not know connections, nor the arithmetic of a bucket.

What waits is a future: the pipeline goes on in the turn in which the answer comes. A refusal that is still true is told
without asking: nothing but time fills a bucket, so a flood above a limit costs Redis one call a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from gateway.domain.limits import Claim, Concurrency, Grant
from gateway.limiters.redis import wire
from gateway.limiters.redis.calls import Awaited, Call, asked, command, packed
from gateway.limiters.redis.held import Held, Holdings
from gateway.limiters.redis.outage import Outage
from gateway.limiters.redis.refusals import Refusals
from gateway.limiters.redis.scripts import Script, Scripts
from gateway.limiters.redis.split import Split, by_place
from gateway.ports import Clock, LimiterUnavailable

_PROBE_SECONDS: Final = b"60"
_RENEWED_AT_ONCE: Final = 500
_SETTLED_AT_ONCE: Final = 200

_log = logging.getLogger(__name__)


class Server(Protocol):
    """A Redis that may be away, or a cluster of them: `link.Link`, `cluster.Cluster`."""

    @property
    def is_up(self) -> bool: ...

    @property
    def takes_calls(self) -> bool: ...

    @property
    def why(self) -> str: ...

    def send(self, call: Call) -> None: ...

    async def ask(self, call: Awaited) -> Any: ...

    async def settled(self) -> None: ...


class Asked(Protocol):
    """Who can be asked: a server, or one node of a cluster."""

    async def ask(self, call: Awaited) -> Any: ...


def _redis_time() -> bytes:
    return b""


class ExactLimiter:
    """Implements `ports.Limiter` over `server`, for one process of all that share it.

    `node` names this process, and no other at any time. `in_flight_seconds` is how long its requests count after its
    last sign of life (`beat`). `is_spread` says that a script reaches the buckets of one owner only. `time` stands in
    for Redis' own in tests: microseconds, as text.
    """

    def __init__(
        self,
        server: Server,
        line: wire.Wire,
        scripts: Scripts,
        outage: Outage,
        clock: Clock,
        *,
        node: str,
        in_flight_seconds: float,
        is_spread: bool = False,
        time: Callable[[], bytes] = _redis_time,
    ) -> None:
        self.server = server
        self.wire = line
        self.scripts = scripts
        self.outage = outage
        self.clock = clock
        self.time = time
        self.patience = b"%d" % round(in_flight_seconds * 1000)
        self.loop = asyncio.get_running_loop()
        self._node = node.encode()
        self._number = 0
        self._renew_seconds = in_flight_seconds / 3
        self._is_spread = is_spread
        self._holdings = Holdings()
        self._refusals = Refusals()
        self.correct: Callable[[Sequence[Claim], list[int]], list[int]] | None = None
        """What makes of the levels in Redis those without what was taken in advance and not let in yet, if anything."""

    # ---- the port

    def acquire(self, claims: Sequence[Claim]) -> Grant | Awaitable[Grant]:
        """Draw one request from every claim, or from none. Raises `LimiterUnavailable`; then nothing was drawn."""
        if not claims:
            return Grant((), measured_at=self.clock.now())
        if not self.server.is_up:
            return self.outage.acquire(claims, f"Redis is not reached: {self.server.why}")
        known = self._refusals.find(claims, self.clock)
        if known is not None:
            return known
        self._number += 1
        call = _Acquire(self, claims, b"%b:%d" % (self._node, self._number))
        if self._is_spread:
            places = by_place(claims)
            if len(places) > 1:
                self._ask_all(call, places)
                return call.done
        try:
            self.server.send(call)
        except LimiterUnavailable as error:
            return self.outage.acquire(claims, str(error))
        return call.done

    def look(self, _: Sequence[Claim]) -> None:
        """Tell nothing: how the buckets stand is known elsewhere, and to ask would be to wait."""

    def release(self, grant: Grant) -> None:
        """Give back the concurrency that `grant` holds, the first time it is called for it."""
        held, grant.held = grant.held, ()
        for bucket in held:
            # A request in shadow mode may have added what was counted elsewhere: whatever is found is given back.
            if grant.is_degraded and self.outage.release(bucket):
                continue
            found = self._holdings.take(bucket)
            if found is not None:
                self._let_go(found.key, found.member)
            elif not grant.is_degraded:
                self.outage.release(bucket)

    # ---- what goes on beside requests

    async def prepare(self, server: Asked, probe: bytes) -> None:
        """Make sure that a server can be written to, and knows the scripts. Raises `LimiterUnavailable`."""
        await server.ask(asked(b"SET", probe, self._node, b"EX", _PROBE_SECONDS, key=probe))
        for script in (self.scripts.acquire, self.scripts.move, self.scripts.renew):
            await server.ask(asked(b"SCRIPT", b"LOAD", script.text))

    async def settle(self) -> None:
        """Tell Redis what this node has let in or holds without its knowledge. Raises `LimiterUnavailable`."""
        await self._renew(self.clock.monotonic())
        owed = self.outage.owed()
        for n in range(0, len(owed), _SETTLED_AT_ONCE):
            calls = []
            for each in owed[n : n + _SETTLED_AT_ONCE]:
                at = int(each.at * wire.MICROSECONDS)
                call = Awaited(*self.moving(each.claim, b"charge", each.number, at))
                self.server.send(call)
                calls.append(call)
            found = await asyncio.gather(*(call.done for call in calls), return_exceptions=True)
            failed = [each for each in found if isinstance(each, LimiterUnavailable)]
            if failed and not self.server.takes_calls:
                raise failed[0]
        self.outage.settled()

    async def beat(self) -> None:
        """Say that requests that have gone on for a while still do. Called three times in `in_flight_seconds`."""
        if not self.server.is_up:
            return
        try:
            await self._renew(self.clock.monotonic() - self._renew_seconds)
        except LimiterUnavailable as error:
            _log.debug("not renewed: %s", error)  # whoever lost the connection says so

    async def close(self) -> None:
        """Give back what is held, and wait until Redis knows."""
        for key, members in self._holdings.old(self.clock.monotonic()):
            self._let_go(key, *members)
        await self.settled()

    async def settled(self) -> None:
        """Return when what was asked before has been answered, or never will be."""
        try:
            await self.server.settled()
        except LimiterUnavailable as error:
            _log.debug("not settled: %s", error)

    async def _renew(self, before: float) -> None:
        script = self.scripts.renew
        for key, members in self._holdings.old(before):
            for n in range(0, len(members), _RENEWED_AT_ONCE):
                parts = (b"1", key, self.time(), self.patience, *members[n : n + _RENEWED_AT_ONCE])
                await self.server.ask(Awaited(len(parts), packed(*parts), key, script))

    def moving(
        self, claim: Claim, act: bytes, number: int, since: int
    ) -> tuple[int, bytes, bytes, Script]:
        """Return what makes a call of `move.lua`."""
        line = self.wire.line(claim)
        body = packed(b"1", line.key, self.time(), act, b"%d" % number, b"%d" % since)
        body += line.told.packed
        return 6 + line.told.count, body, line.key, self.scripts.move

    # ---- answers

    def answered(self, call: _Acquire, reply: Sequence[int]) -> None:
        """Make a grant of what `acquire.lua` answered."""
        claims, now = call.claims, self.clock.now()
        levels = wire.levels(claims, reply)
        if not reply[0]:
            waits = wire.waits(claims, reply, levels)
            self._refusals.note(claims, reply, levels, self.clock.monotonic())
            call.settle(Grant.refuse(claims, levels, waits, now))
            return
        held: tuple[str, ...] = ()
        for claim in claims:
            if isinstance(claim.rule, Concurrency):
                held += (claim.bucket,)
                key = self.wire.line(claim).key
                if call.done.done():
                    self._let_go(key, call.name)  # whoever asked is gone
                else:
                    taken = Held(key, call.name, self.clock.monotonic())
                    self._holdings.add(claim.bucket, taken)
        if self.correct is not None:
            levels = self.correct(claims, levels)
        call.settle(Grant.admit(claims, levels, held, now))

    def unanswered(self, call: _Acquire, error: LimiterUnavailable) -> None:
        """Decide without Redis; what it may have charged all the same stays charged."""
        if call.done.done():
            return
        try:
            call.done.set_result(self.outage.acquire(call.claims, str(error)))
        except LimiterUnavailable as refused:
            call.done.set_exception(refused)

    def _let_go(self, key: bytes, *members: bytes) -> None:
        """Say that requests are no longer in flight; if that is not heard, they are given up after a while."""
        self._tell(command(b"ZREM", key, *members, key=key))

    def _tell(self, call: Call) -> None:
        try:
            self.server.send(call)
        except LimiterUnavailable as error:
            call.fail(error)

    # ---- several places

    def _ask_all(self, whole: _Acquire, places: Sequence[Sequence[int]]) -> None:
        """Ask each place for its part of a request."""

        def give_back(claims: Sequence[Claim], reply: Sequence[int]) -> None:
            for claim in claims:
                if isinstance(claim.rule, Concurrency):
                    self._let_go(self.wire.line(claim).key, whole.name)
                else:
                    self._tell(Call(*self.moving(claim, b"give", 1, reply[1])))

        split = Split(whole.claims, places, whole.finish, whole.fail, give_back)
        for place, positions in enumerate(places):
            claims = [whole.claims[n] for n in positions]
            self._tell(_Part(self, claims, whole.name, split, place))


class _Request(Call):
    """A call of `acquire.lua` for `claims`. Called `name` where it is counted as in flight."""

    __slots__ = ("claims", "name")

    def __init__(self, limiter: ExactLimiter, claims: Sequence[Claim], name: bytes) -> None:
        keys, rules, count = b"", b"", 4 + len(claims)
        first = b""
        for claim in claims:
            line = limiter.wire.line(claim)
            first = first or line.key
            keys += line.packed_key
            rules += line.told.packed
            count += line.told.count
        time, patience = limiter.time(), limiter.patience
        body = b"$%d\r\n%d\r\n%b$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b" % (
            *(len(b"%d" % len(claims)), len(claims), keys),
            *(len(time), time, len(name), name, len(patience), patience, rules),
        )
        super().__init__(count, body, first, limiter.scripts.acquire)
        self.claims = claims
        self.name = name


class _Acquire(_Request):
    """One request, waiting for its grant: `done`."""

    __slots__ = ("_limiter", "done")

    def __init__(self, limiter: ExactLimiter, claims: Sequence[Claim], name: bytes) -> None:
        super().__init__(limiter, claims, name)
        self._limiter = limiter
        self.done: asyncio.Future[Grant] = limiter.loop.create_future()

    def finish(self, reply: Any) -> None:
        """Take the answer."""
        try:
            self._limiter.answered(self, reply)
        except (TypeError, ValueError, IndexError) as error:
            self.fail(LimiterUnavailable(f"Redis answers {reply!r:.100}: {error!r}"))

    def fail(self, error: LimiterUnavailable) -> None:
        """Let others decide."""
        self._limiter.unanswered(self, error)

    def settle(self, grant: Grant) -> None:
        """Hand the grant to whoever asked, if they still want it."""
        if not self.done.done():
            self.done.set_result(grant)


class _Part(_Request):
    """The part of a request that one place decides."""

    __slots__ = ("_place", "_split")

    def __init__(
        self, limiter: ExactLimiter, claims: Sequence[Claim], name: bytes, split: Split, place: int
    ) -> None:
        super().__init__(limiter, claims, name)
        self._split = split
        self._place = place

    def finish(self, reply: Any) -> None:
        """Take the answer."""
        self._split.answered(self._place, reply)

    def fail(self, error: LimiterUnavailable) -> None:
        """Take note that there is none."""
        self._split.answered(self._place, error)
