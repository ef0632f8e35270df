"""The crew of a gateway that has workers: every act is asked of all of them, and the answers are put together.

Implements `control.crew.Crew`. Knows what the death of a worker means for each act: whoever is dead has forgotten every
key and serves nobody by an old configuration, and who takes its place begins with what is in force.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.config import model
from gateway.config.reloading import ReloadRefused
from gateway.control.channel import Declined
from gateway.control.crew import Acknowledged, WorkerReport, WorkerState
from gateway.control.member import Member
from gateway.control.messages import (
    Abandon,
    CutStreams,
    Forget,
    Install,
    ListStreams,
    LookAtLoad,
    LookAtUpstreams,
    Prepare,
    Prolong,
    ReopenLogs,
)
from gateway.control.stragglers import Stragglers
from gateway.control.supervisor import Supervisor
from gateway.domain.streams import Condemn, StreamReport
from gateway.ports import Clock, Streams
from gateway.upstreams.overview import ServiceOverview, merged

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 2.0
"""How long a look at what goes on waits for a worker; then it is shown without it."""


class RemoteCrew:
    """Implements `Crew` over the workers of `supervisor`. `config` is in force as generation `number`."""

    def __init__(
        self, supervisor: Supervisor, number: int, config: model.Config, clock: Clock
    ) -> None:
        self.supervisor = supervisor
        self.streams: Streams = RemoteStreams(self)
        self.number = number
        self.config = config
        self.stragglers = Stragglers(clock.monotonic)
        self._monotonic = clock.monotonic

    @property
    def _patience(self) -> float:
        return self.config.supervision.acknowledge_timeout

    # ---- keys

    async def forget(self, ids: Iterable[str]) -> Acknowledged:
        """Let all workers forget the keys, and the keys of the tenants, with these ids."""
        return await self._forget(Forget(tuple(ids)))

    async def forget_all(self) -> Acknowledged:
        """Let all workers forget all keys."""
        return await self._forget(Forget(None))

    async def _forget(self, message: Forget) -> Acknowledged:
        members = [each for each in self.supervisor.members if each.may_know_keys]
        asked = self._prompt(members, Forget(None))
        answers, silent = await self._ask(asked, message, self._patience)
        refused = [each for each, answer in answers if answer is not None]
        await self._end(
            [*silent, *refused], Forget(None), "does not forget keys: it is killed, which makes it"
        )
        # Those who left the line hear nothing more; while their process lives they may go by what they knew.
        leaving = self.supervisor.leaving
        ended = await asyncio.gather(*(each.finish() for each in leaving))
        alive = [str(each) for each in self.stragglers.members]
        alive += [str(each) for each, is_over in zip(leaving, ended, strict=True) if not is_over]
        of = len({*members, *leaving})
        return Acknowledged(of - len(alive), of, tuple(alive))

    def _prompt(self, members: Sequence[Member], message: object) -> list[Member]:
        """Return those of `members` whose answer can be waited for; the others owe that as well."""
        late = self.stragglers.members
        for member in members:
            if member in late:
                self.stragglers.owe(member, message)
        return [each for each in members if each not in late]

    async def _end(self, members: Sequence[Member], message: object, why: str) -> None:
        """Kill `members`; whoever survives that owes `message`."""
        for member in members:
            _log.error("%s %s", member, why)
        ended = await asyncio.gather(*(member.kill() for member in members))
        for member, is_gone in zip(members, ended, strict=True):
            if not is_gone:
                member.state = WorkerState.STUCK
                self.stragglers.owe(member, message)

    @property
    def silent(self) -> Sequence[str]:
        """Name those who did not do what they were told and could not be ended."""
        return [str(each) for each in self.stragglers.members]

    def prolong(self, until: float) -> None:
        """Let all workers believe what is in memory until then."""
        for member in self.supervisor.members:
            member.tell(Prolong(until))

    # ---- the configuration

    async def prepare(self, number: int, config: model.Config) -> None:
        """Let all workers make `config` ready. Raises `ReloadRefused` when one of them cannot."""
        members = [*self.supervisor.members]
        message = Prepare(number, config)
        answers, silent = await self._ask(members, message, config.supervision.start_timeout)
        refusals = [str(each) for _, each in answers if isinstance(each, Declined)]
        for member, answer in answers:
            if answer is None:
                member.prepared = number
        for member in silent:
            if not member.gone.is_set() and not refusals:
                _log.error("%s does not prepare the configuration: it is replaced", member)
                await member.kill()
        if refusals:
            raise ReloadRefused(refusals[0])

    async def install(self, number: int, config: model.Config, changed: Sequence[str]) -> None:
        """Put what was prepared into force. A worker that fails at it is replaced by one that begins with it."""
        self.number, self.config = number, config
        members = [*self.supervisor.members]
        late = [each for each in members if each.prepared != number]
        await self._ask(late, Prepare(number, config), config.supervision.start_timeout)
        answers, _ = await self._ask(members, Install(number, tuple(changed)), self._patience)
        done = {member for member, answer in answers if answer is None}
        for member in members:
            if member in done:
                member.generation = number
            elif not member.gone.is_set():
                _log.error("%s does not take generation %d: it is replaced", member, number)
                await member.kill()

    async def abandon(self) -> None:
        """Let all workers let go of what was prepared."""
        for member in self.supervisor.members:
            member.prepared = 0
            member.tell(Abandon())

    # ---- what goes on

    async def overview(self) -> Sequence[ServiceOverview]:
        """Return the state of the upstreams, as all workers see them together."""
        return merged(await self.gathered(LookAtUpstreams()))

    async def report(self) -> Sequence[WorkerReport]:
        """Return all workers, with those that drain."""
        supervisor = self.supervisor
        members = [each for each in supervisor.members if each.may_know_keys]
        answers, _ = await self._ask(members, LookAtLoad(), _LOOK_SECONDS)
        for member, answer in answers:
            if not isinstance(answer, Exception):
                member.load = answer
        now = self._monotonic()
        ordered = sorted(supervisor.members, key=lambda each: (each.slot, each.started))
        return [each.report(supervisor.restarts[each.slot], now) for each in ordered]

    async def told(self, message: object) -> list[tuple[int, Any]]:
        """Return what all who serve or drain answer to `message`, by process; without those who do not answer."""
        members = [each for each in self.supervisor.members if each.may_know_keys]
        answers, _ = await self._ask(members, message, _LOOK_SECONDS)
        return [
            (member.process.pid, answer)
            for member, answer in answers
            if not isinstance(answer, Exception)
        ]

    async def gathered(self, message: object) -> list[Any]:
        """Return what all who serve or drain answer to `message`."""
        return [answer for _, answer in await self.told(message)]

    async def cut(self, message: CutStreams) -> list[int]:
        """Return how much each worker cut; one that does not is killed, which cuts everything that it has."""
        members = [each for each in self.supervisor.members if each.may_know_keys]
        answers, silent = await self._ask(self._prompt(members, message), message, self._patience)
        refused = [each for each, answer in answers if isinstance(answer, Exception)]
        await self._end(
            [*silent, *refused], message, "does not cut streams: it is killed, which cuts all"
        )
        return [answer for _, answer in answers if not isinstance(answer, Exception)]

    def reopen_logs(self) -> None:
        """Let all workers go on in new log files."""
        for member in self.supervisor.members:
            member.tell(ReopenLogs())

    @property
    def obstacles(self) -> Sequence[str]:
        """Say when no worker serves."""
        return () if self.supervisor.serving else ("no worker serves",)

    # ---- life

    async def restart(self) -> int:
        """Replace all workers, one after the other. Raises `Conflict`."""
        return await self.supervisor.restart()

    async def drain(self, seconds: float) -> None:
        """Let all workers end what they have."""
        await self.supervisor.drain(seconds)

    def hurry(self) -> None:
        """Cut what a drain still waits for."""
        self.supervisor.hurry()

    async def _ask(
        self, members: Sequence[Member], message: object, seconds: float
    ) -> tuple[list[tuple[Member, Any]], list[Member]]:
        """Ask `members`; return what each said, `Declined` included, and who lives and said nothing in time."""
        asked = [(member, member.ask(message)) for member in members]
        if asked:
            await asyncio.wait([answer for _, answer in asked], timeout=seconds)
        answers: list[tuple[Member, Any]] = []
        silent: list[Member] = []
        for member, answer in asked:
            failure = answer.exception() if answer.done() else TimeoutError()
            if failure is None:
                answers.append((member, answer.result()))
            elif isinstance(failure, Declined):
                answers.append((member, failure))
            elif isinstance(failure, TimeoutError):
                answer.cancel()
                silent.append(member)
        return answers, silent


class RemoteStreams:
    """Implements `ports.Streams` over all workers."""

    def __init__(self, crew: RemoteCrew) -> None:
        self._crew = crew

    async def listed(self) -> list[StreamReport]:
        """Return the streams of all workers."""
        return [each for part in await self._crew.gathered(ListStreams()) for each in part]

    async def cut(self, condemn: Condemn) -> int:
        """End what `condemn` gives a reason for, in all workers; return how many requests that were."""
        if not type(condemn).__module__.startswith("gateway."):
            raise TypeError(f"{condemn!r} cannot travel to workers: it must be of a class of ours")
        return sum(await self._crew.cut(CutStreams(condemn)))
