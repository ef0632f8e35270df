"""Brings what is to be told to the channels: makes messages of it, sends them, and tries again what was not taken.

Knows when each channel has its turn. Each is served by a task of its own, so that a slow or dead one delays neither the
others nor whoever finds something. It must not know how a channel carries a message.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.alerts.channels.channel import Channel, Undelivered
from gateway.alerts.settings import AlertSettings
from gateway.domain.alert_messages import (
    ALERTS_MAX,
    MESSAGE_DEAD,
    MESSAGE_WAITING,
    Message,
    Notice,
    Waiting,
    content_of,
)
from gateway.domain.alert_routing import ChannelTerms
from gateway.domain.alert_rules.durations import in_words
from gateway.ports import Clock, Outbox, StoreUnavailable

FIRST_PAUSE_SECONDS: Final = 5.0
PAUSE_FACTOR: Final = 3.0
PAUSE_SECONDS_MAX: Final = 3_600.0
"""5 s, 15 s, 45 s, ... an hour: with ten attempts a receiver may be away for three and a half hours."""

JITTER: Final = 0.2
"""Pauses differ by so much, or all messages of an outage would come back at once."""

IDLE_SECONDS: Final = 60.0
"""How often a channel without anything to tell is looked at: somebody else may have put something there."""

SHARED_SECONDS: Final = 5.0
"""The same where other gateways put something there all the time."""

WAITING_MAX: Final = 20
"""Messages of a channel that wait for another attempt; what is to be told meanwhile is not made into more of them."""

URGENT_MAX: Final = 100
"""Notices of a channel that no store holds."""

DELIVERED, RETRIED, DEAD = "delivered", "retried", "dead"
OUTCOMES: Final = (DELIVERED, RETRIED, DEAD)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Turn:
    """When a channel is looked at next, when it told something last, and what it must tell that no store holds."""

    next_at: float = 0.0
    packed_at: float = float("-inf")
    urgent: list[Notice] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class Deliverer:
    """Implements `Teller`. `count` is told the channel and the outcome of each attempt, `random` returns 0 to 1.

    Of several gateways that share the outbox, the one that `leads` tells what is in it.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], AlertSettings],
        channels: Callable[[], Mapping[str, Channel]],
        outbox: Outbox,
        clock: Clock,
        new_id: Callable[[], str],
        count: Callable[[str, str], None],
        random: Callable[[], float],
        leads: Callable[[], bool] = lambda: True,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._settings = settings
        self._channels = channels
        self._outbox = outbox
        self._clock = clock
        self._new_id = new_id
        self._count = count
        self._random = random
        self._leads = leads
        self._idle_seconds = idle_seconds
        self._turns: dict[str, _Turn] = {}

    # ---- `Teller`

    def wake(self, channels: Iterable[str]) -> None:
        """There is something to tell for these channels."""
        for name in channels:
            self._turn(name).next_at = 0.0

    def tell_now(self, notices: Sequence[Notice]) -> None:
        """Tell of these, which no store holds."""
        for notice in notices:
            turn = self._turn(notice.channel)
            turn.urgent = [*turn.urgent, notice][-URGENT_MAX:]
            turn.next_at = 0.0

    # ---- turns

    async def look(self, tasks: asyncio.TaskGroup) -> None:
        """Give each channel its turn whose time has come, in a task of `tasks`."""
        now = self._clock.monotonic()
        channels = self._channels()
        for name, channel in channels.items():
            turn = self._turn(name)
            if turn.task is None and now >= turn.next_at:
                turn.task = tasks.create_task(
                    self._serve(name, channel, turn), name=f"telling {name}"
                )
        for name in [each for each in self._turns if each not in channels]:
            if self._turns[name].task is None:
                del self._turns[name]

    async def close(self) -> None:
        """End what is under way; messages that the outbox holds are sent after the next start."""
        running = [turn.task for turn in self._turns.values() if turn.task is not None]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def send(self, name: str, content: Mapping[str, Any]) -> None:
        """Send one message now, beside all others. Raises `Undelivered`; `KeyError` for a channel that is none."""
        await self._channels()[name].send(self._new_id(), content)

    def _turn(self, name: str) -> _Turn:
        return self._turns.setdefault(name, _Turn())

    async def _serve(self, name: str, channel: Channel, turn: _Turn) -> None:
        """Tell what there is to tell; afterwards it is known when there may be something again."""
        turn.next_at = self._clock.monotonic() + self._idle_seconds
        try:
            await self._tell_urgent(name, channel, turn)
            if self._leads():
                await self._tell_stored(name, channel, turn)
        except StoreUnavailable as error:
            _log.warning("channel %s: what it has to tell cannot be read: %s", name, error)
        except Exception:  # noqa: BLE001 - logged: a broken channel must not end the others, nor the gateway
            _log.exception("channel %s failed", name)
        finally:
            turn.task = None

    async def _tell_urgent(self, name: str, channel: Channel, turn: _Turn) -> None:
        notices, turn.urgent = turn.urgent, []
        if not notices:
            return
        contents = [notice.content for notice in notices]
        counts = Counter((str(each["event"]), str(each["rule"])) for each in contents)
        waiting = Waiting(notices=contents, counts=counts, through=0)
        try:
            await channel.send(self._new_id(), self._content(waiting))
        except Undelivered as error:
            self._count(name, RETRIED)
            turn.urgent = [*notices, *turn.urgent][-URGENT_MAX:]
            turn.next_at = self._clock.monotonic() + FIRST_PAUSE_SECONDS
            _log.warning("channel %s: not delivered, and no store to keep it: %s", name, error)
        else:
            self._count(name, DELIVERED)

    async def _tell_stored(self, name: str, channel: Channel, turn: _Turn) -> None:
        terms = self._settings().channels.get(name, ChannelTerms())
        message = await self._outbox.due(name, self._clock.now())
        if message is None:
            message = await self._packed(name, terms, turn)
        if message is not None:
            await self._attempt(message, channel, terms)
        if message is not None or turn.urgent:
            self._look_again(turn, FIRST_PAUSE_SECONDS / 5)
        else:
            await self._plan(name, terms, turn)

    async def _packed(self, name: str, terms: ChannelTerms, turn: _Turn) -> Message | None:
        """Make a message of what waits to be told, unless one was made just now or many were not taken."""
        now = self._clock.monotonic()
        if now - turn.packed_at < terms.every_seconds:
            return None
        waiting = await self._outbox.waiting(name, ALERTS_MAX)
        if not waiting.total:
            return None
        known = await self._outbox.messages(channel=name, state=MESSAGE_WAITING, limit=WAITING_MAX)
        if len(known) >= WAITING_MAX:
            return None
        moment = self._clock.now()
        message = Message(
            message_id=self._new_id(),
            channel=name,
            content=self._content(waiting),
            created_at=moment,
            due_at=moment,
        )
        await self._outbox.pack(message, waiting.through)
        turn.packed_at = now
        return message

    async def _plan(self, name: str, terms: ChannelTerms, turn: _Turn) -> None:
        """Find out when there is something to do again."""
        now = self._clock.now()
        known = await self._outbox.messages(channel=name, state=MESSAGE_WAITING, limit=WAITING_MAX)
        waits = [each.due_at - now for each in known]
        quiet = turn.packed_at + terms.every_seconds - self._clock.monotonic()
        if quiet > 0:
            waits.append(quiet)  # what comes meanwhile is told together then
        if waits:
            self._look_again(turn, max(0.0, min(waits)))

    def _look_again(self, turn: _Turn, seconds: float) -> None:
        turn.next_at = min(turn.next_at, self._clock.monotonic() + seconds)

    # ---- one attempt

    async def _attempt(self, message: Message, channel: Channel, terms: ChannelTerms) -> None:
        name = message.channel
        try:
            await channel.send(message.message_id, message.content)
        except Undelivered as error:
            after = self._after(message, error, terms)
            outcome = DEAD if after.state == MESSAGE_DEAD else RETRIED
            self._count(name, outcome)
            pause = in_words(after.due_at - self._clock.now())
            fate = "given up" if outcome == DEAD else f"tried again in {pause}"
            _log.warning("channel %s: %s: %s; %s", name, message.message_id, error, fate)
        else:
            self._count(name, DELIVERED)
            await self._outbox.remove(message.message_id)
            return
        await self._outbox.keep(after)

    def _after(self, message: Message, error: Undelivered, terms: ChannelTerms) -> Message:
        attempts = message.attempts + 1
        is_last = error.is_final or attempts >= terms.attempts_max
        pause = min(PAUSE_SECONDS_MAX, FIRST_PAUSE_SECONDS * PAUSE_FACTOR ** (attempts - 1))
        pause *= 1 + JITTER * (2 * self._random() - 1)
        return replace(
            message,
            attempts=attempts,
            state=MESSAGE_DEAD if is_last else MESSAGE_WAITING,
            due_at=self._clock.now() + max(pause, error.retry_after_seconds),
            error=str(error),
        )

    def _content(self, waiting: Waiting) -> dict[str, Any]:
        return content_of(waiting, self._settings().runbooks_url, self._clock.now())
