"""Takes a changed configuration into force: when somebody asks, and when its files have changed.

Knows the order (read, apply, tell), that there is one attempt at a time, and when a file may be read. It must not know
what a configuration means.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol, TypeVar

from gateway.config.load import Loaded
from gateway.config.model import Config, Reload
from gateway.config.problems import Problem
from gateway.config.reloading import Reloaded, ReloadRefused
from gateway.config.sources import Sources
from gateway.control.beside import beside
from gateway.control.watch import Watch
from gateway.domain.change import Actor, Order

_log = logging.getLogger(__name__)

_PATHS_LOGGED_MAX: Final = 20
_PROBLEMS_LOGGED_MAX: Final = 500

T = TypeVar("T")

Apply = Callable[[Config], Awaitable[Reloaded]]
"""Takes a configuration, or raises `ReloadRefused` and leaves everything as it was."""

Former = Callable[[], Awaitable[Config]]
"""Returns the configuration to go back to. Raises `Conflict` where there is none, `ReloadRefused` for a broken one."""


class Told(Protocol):
    """Is told of every attempt, for the metrics and the audit trail. `actor` is who asked, `cause` says it in words."""

    async def applied(self, reloaded: Reloaded, cause: str, actor: Actor | None) -> None: ...

    async def rolled_back(self, reloaded: Reloaded, order: Order) -> None: ...

    async def refused(self, why: str, cause: str, actor: Actor | None) -> None: ...


class Reloader:
    """One attempt at a time. `read` blocks, and runs in a thread."""

    def __init__(
        self, read: Callable[[], Loaded], *, check: Apply, apply: Apply, told: Told
    ) -> None:
        self._read = read
        self._check = check
        self._apply = apply
        self._told = told
        self._turn = asyncio.Lock()
        self._is_stopped = False
        self.watch: Watch | None = None

    def stop(self) -> None:
        """Refuse every further attempt: the gateway is going down."""
        self._is_stopped = True

    @property
    def is_stopped(self) -> bool:
        """Tell whether nothing is taken any more."""
        return self._is_stopped

    async def reload(
        self, cause: str, expected: Sources | None = None, *, actor: Actor | None = None
    ) -> Reloaded:
        """Read the configuration and take it into force; `cause` and `actor` go on record. Raises `ReloadRefused`.

        With `expected`, the files must still be as they were when they were looked at.
        """
        async with self._turn:
            async with self._attempt(cause, actor):
                loaded = await self._load(expected)
                reloaded = await self._apply(sound(loaded))
            await self._told.applied(reloaded, cause, actor)
        _log_success(f"reloaded ({cause})", reloaded, loaded.problems)
        return reloaded

    async def roll_back(self, former: Former, order: Order) -> Reloaded:
        """Take the configuration that `former` returns, which was in force before. Raises `ReloadRefused`.

        It holds until the files change again, or somebody asks for a reload: what they hold now is known.
        """
        cause = f"rollback by {order.actor.kind} {order.actor.name}"
        async with self._turn:
            config = await former()
            async with self._attempt(cause, order.actor):
                self._refuse_when_stopped()
                reloaded = await self._apply(config)
                if self.watch is not None:
                    await self.watch.know_present()
            await self._told.rolled_back(reloaded, order)
        _log_success(f"rolled back ({cause})", reloaded, ())
        return reloaded

    async def check(self) -> Reloaded:
        """Say what `reload` would do, without doing it. Raises `ReloadRefused`."""
        return await self.consider(self._check)

    async def consider(self, judge: Callable[[Config], Awaitable[T]]) -> T:
        """Return what `judge` says of the configuration that the files hold; none is taken meanwhile."""
        async with self._turn:
            self._refuse_when_stopped()
            return await judge(sound(await beside(self._read)))

    async def check_former(self, former: Former) -> Reloaded:
        """Say what `roll_back` would do, without doing it. Raises `ReloadRefused`."""
        async with self._turn:
            self._refuse_when_stopped()
            return await self._check(await former())

    @asynccontextmanager
    async def _attempt(self, cause: str, actor: Actor | None) -> AsyncIterator[None]:
        """Turn whatever goes wrong within into a refusal that is logged and told."""
        try:
            yield
        except ReloadRefused as refusal:
            _log_refusal(cause, refusal)
            await self._told.refused(str(refusal), cause, actor)
            raise
        except _NotStill:
            raise
        except Exception as error:
            _log.exception("not reloaded (%s)", cause)
            why = "it failed; the log has the cause"
            await self._told.refused(why, cause, actor)
            raise ReloadRefused(why) from error

    async def look(self) -> None:
        """Reload if the files have changed and are still."""
        watch = self.watch
        changed = None if watch is None or self._is_stopped else await watch.look()
        if changed is None:
            return
        # What is refused is logged, and the same content not tried again; what is not still is looked at again.
        with suppress(ReloadRefused, _NotStill):
            await self.reload("its files changed", changed)

    async def _load(self, expected: Sources | None) -> Loaded:
        self._refuse_when_stopped()
        if expected is not None and self.watch is not None and self.watch.knows(expected):
            raise _NotStill  # somebody else took it, or a rollback holds against it
        loaded = await beside(self._read)
        if expected is not None and loaded.sources != expected:
            raise _NotStill
        if self.watch is not None:
            self.watch.know(loaded.sources)
        self._refuse_when_stopped()
        return loaded

    def _refuse_when_stopped(self) -> None:
        if self._is_stopped:
            raise ReloadRefused("the gateway is stopping")


class _NotStill(Exception):
    """The files changed between the look at them and their reading, or are known by then."""


class ReloadRequests:
    """What asks for reloads while the gateway runs: a signal, and the look at the files. Stops when told to."""

    def __init__(self, reloader: Reloader, settings: Callable[[], Reload]) -> None:
        self._reloader = reloader
        self._settings = settings
        self._woken = asyncio.Event()
        self._is_asked = False

    def ask(self) -> None:
        """Reload soon; asking twice before that is asking once."""
        self._is_asked = True
        self._woken.set()

    def stop(self) -> None:
        """Let `run` return."""
        self._reloader.stop()
        self._woken.set()

    async def run(self) -> None:
        """Serve the requests until `stop`."""
        while not self._reloader.is_stopped:
            await self._pause()
            await self._serve()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings().poll):
                await self._woken.wait()
        self._woken.clear()

    async def _serve(self) -> None:
        is_asked, self._is_asked = self._is_asked, False
        if is_asked:
            with suppress(ReloadRefused):  # logged
                await self._reloader.reload("SIGHUP")
        elif self._settings().watch:
            await self._reloader.look()


def sound(loaded: Loaded) -> Config:
    """Return the configuration that was read. Raises `ReloadRefused` with what is wrong with it."""
    if loaded.config is None:
        count = sum(not problem.is_warning for problem in loaded.problems)
        raise ReloadRefused(
            f"the configuration has {count} problem{'' if count == 1 else 's'}", loaded.problems
        )
    return loaded.config


def _log_refusal(cause: str, refusal: ReloadRefused) -> None:
    _log.error("not reloaded (%s): %s", cause, refusal)
    for problem in refusal.problems[:_PROBLEMS_LOGGED_MAX]:
        _log.error("%s", problem)


def _log_success(what: str, reloaded: Reloaded, warnings: Sequence[Problem]) -> None:
    for warning in warnings[:_PROBLEMS_LOGGED_MAX]:
        _log.warning("%s", warning)
    paths = [change.path for change in reloaded.changes]
    named = ", ".join(paths[:_PATHS_LOGGED_MAX]) or "nothing"
    more = f" and {len(paths) - _PATHS_LOGGED_MAX} more" if len(paths) > _PATHS_LOGGED_MAX else ""
    _log.info("%s as generation %d; changed: %s%s", what, reloaded.generation, named, more)
    if reloaded.restart:
        _log.warning("these changed keys wait for a restart: %s", ", ".join(reloaded.restart))
