"""The line between a supervisor and one worker: framed messages over a socket pair, requests and their answers.

Knows frames, numbers and deadlines, and that either side may be gone at any moment. It must not know what a message
means. What comes in can make values of this package and nothing else: a worker reads what strangers send, so what it
says is not trusted further than that.
"""

from __future__ import annotations

import asyncio
import io
import logging
import pickle
import socket
from collections.abc import Awaitable, Callable
from enum import Enum, IntEnum
from typing import Any, Final

_log = logging.getLogger(__name__)

FRAME_BYTES_MAX: Final = 256 * 2**20
"""A configuration of 10,000 routes takes 10 MiB; a length above this is no length."""

UNREAD_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX
"""What may wait for a side that does not read; then it is given up."""

_HEAD: Final = 4

_VALUES: Final = frozenset(
    {"gateway", "pydantic", "pydantic_core", "pathlib", "ipaddress", "datetime"}
)
_BUILTINS: Final = frozenset({"set", "frozenset", "complex", "bytearray", "slice", "range"})


class Gone(Exception):
    """The other side has closed the line, or died."""


class Declined(Exception):
    """The other side could not do what it was asked; the text says why."""


class _Kind(IntEnum):
    NOTICE = 0
    REQUEST = 1
    ANSWER = 2
    REFUSAL = 3


Answer = Callable[[Any], Awaitable[object]]
"""Does what a message says and returns the answer. Raises `Declined` with a text for the other side.

Its first part, up to where it waits, is done in the order in which messages come.
"""


class Channel(asyncio.Protocol):
    """One end of the line. What arrives is done in `tasks`; `on_gone` is called once, when the other side is gone."""

    def __init__(
        self, answer: Answer, tasks: asyncio.TaskGroup, on_gone: Callable[[], None]
    ) -> None:
        self._answer = answer
        self._tasks = tasks
        self._on_gone = on_gone
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._last_number = 0
        self.is_gone = False
        self._lost = asyncio.Event()

    # ---- what this side says

    def tell(self, message: object) -> None:
        """Send `message`; nobody answers. Does nothing when the other side is gone."""
        self._send(_Kind.NOTICE, 0, message)

    def ask(self, message: object) -> asyncio.Future[Any]:
        """Send `message` and return the answer to come. It raises `Declined`, or `Gone`."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.is_gone:
            answer.set_exception(Gone())
            return answer
        self._last_number += 1
        number = self._last_number
        self._waiting[number] = answer
        answer.add_done_callback(lambda _: self._waiting.pop(number, None))
        self._send(_Kind.REQUEST, number, message)
        return answer

    async def close(self) -> None:
        """Close the line once what was said has left."""
        if self._transport is not None and not self.is_gone:
            self._transport.close()
            await self._lost.wait()

    def _send(self, kind: _Kind, number: int, body: object) -> None:
        transport = self._transport
        if transport is None or self.is_gone:
            return
        if transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            _log.error("the other side of the channel does not read: given up")
            transport.abort()
            return
        frame = pickle.dumps((int(kind), number, body), pickle.HIGHEST_PROTOCOL)
        transport.write(len(frame).to_bytes(_HEAD, "big") + frame)

    # ---- what the other side says

    def connection_made(self, transport: Any) -> None:
        """Begin (asyncio)."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take in what came (asyncio)."""
        received = self._received
        received += data
        while len(received) >= _HEAD:
            end = _HEAD + int.from_bytes(received[:_HEAD], "big")
            if end > FRAME_BYTES_MAX:
                _log.error("nonsense on the channel: closed")
                if self._transport is not None:
                    self._transport.abort()
                return
            if len(received) < end:
                return
            frame = bytes(received[_HEAD:end])
            del received[:end]
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        try:
            kind, number, body = _Values(io.BytesIO(frame)).load()
        except Exception as error:  # noqa: BLE001 - whatever a broken peer makes of a frame, it is given up
            _log.error("nonsense on the channel: %r: closed", error)
            if self._transport is not None:
                self._transport.abort()
            return
        if kind in (_Kind.ANSWER, _Kind.REFUSAL):
            self._settle(kind, number, body)
        else:
            self._tasks.create_task(self._do(number, body), name="channel")

    def _settle(self, kind: int, number: int, body: object) -> None:
        answer = self._waiting.pop(number, None)
        if answer is None or answer.done():
            return  # it came too late
        if kind == _Kind.REFUSAL:
            answer.set_exception(Declined(str(body)))
        else:
            answer.set_result(body)

    async def _do(self, number: int, message: object) -> None:
        """Do what was asked; a notice has no number and gets no answer."""
        try:
            kind, body = _Kind.ANSWER, await self._answer(message)
        except Declined as declined:
            kind, body = _Kind.REFUSAL, str(declined)
        except Exception as error:  # noqa: BLE001 - logged, and told to whoever asked
            _log.exception("%s failed", type(message).__name__)
            kind, body = _Kind.REFUSAL, f"{type(message).__name__} failed: {type(error).__name__}"
        if number:
            self._send(kind, number, body)

    def connection_lost(self, _: Exception | None) -> None:
        """Let go of everybody who waits (asyncio)."""
        self.is_gone = True
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(Gone())
                answer.exception()  # whoever no longer waits is no mistake
        self._lost.set()
        self._on_gone()


class _Values(pickle.Unpickler):
    """Makes values of classes that are meant to travel; refuses everything that could act."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "builtins" and name == "getattr":
            return _member  # how Python up to 3.11.2 writes the members of enums
        if module == "builtins" and name in _BUILTINS:
            return super().find_class(module, name)
        if module.partition(".")[0] in _VALUES and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__.partition(".")[0] in _VALUES:
                return found
        raise pickle.UnpicklingError(f"{module}.{name} does not travel")


def _member(kind: Any, name: str) -> Enum:
    """Return a member of an enum, and nothing else that `getattr` could reach."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind[name]
    raise pickle.UnpicklingError(f"an attribute of {kind!r} does not travel")


async def connect(
    sock: socket.socket, answer: Answer, tasks: asyncio.TaskGroup, on_gone: Callable[[], None]
) -> Channel:
    """Begin to speak over `sock`, one end of a pair of connected unix sockets."""
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_unix_connection(
        lambda: Channel(answer, tasks, on_gone), sock=sock
    )
    return channel


async def settled(answers: list[asyncio.Future[Any]], seconds: float) -> None:
    """Wait until all `answers` are there, at most `seconds`."""
    if answers:
        await asyncio.wait(answers, timeout=seconds)
