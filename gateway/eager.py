"""Runs the story of a request eagerly: as far as it goes without waiting, in the callback that brought its bytes.

Knows two kinds of waits. A `Signal` is set by a protocol callback and resumes the story within that same callback, with
no task, no future and no turn of the event loop. Anything else that is awaited is an `asyncio` future, whose completion
resumes the story as it would resume a task. A task per request would cost more than everything else the gateway does
for an ordinary one. It must not know what the story is about.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_OVER: Final = object()
"""What a story that has ended comes to: without it, each one would end in an exception that is raised and caught."""


class Signal(Generic[T]):
    """A value that is set once and awaited by one story; the first `set` wins, later ones do nothing.

    `is_set` tells whether the value is there; it is for reading only.
    `wake` belongs to whoever drives the story. A story that sets the signal of another runs it within its own call, so
    long chains of stories that wake one another would nest as deep; any number of signals for one story does not.
    """

    __slots__ = ("_value", "is_set", "wake")

    _value: T

    def __init__(self) -> None:
        self.is_set = False
        self.wake: Callable[[], None] | None = None

    @property
    def value(self) -> T | None:
        """The value, or None as long as it was not set."""
        return self._value if self.is_set else None

    def set(self, value: T) -> None:
        """Give the value and resume the story that waits for it, before returning."""
        if self.is_set:
            return
        self.is_set = True
        self._value = value
        wake = self.wake
        if wake is not None:
            self.wake = None
            wake()

    def __await__(self) -> Generator[Any, None, T]:
        if not self.is_set:
            yield self
        return self._value


def start(story: Coroutine[Any, Any, None], crashed: Callable[[BaseException], None]) -> None:
    """Run `story` until it ends or waits; later parts run in the callbacks that end its waits.

    What the story raises is handed to `crashed`: there is no caller left to whom it could be raised.
    """
    steps = story.__await__()
    try:
        awaited = next(steps, _OVER)
    except (Exception, CancelledError) as error:  # noqa: BLE001 - handed on, not swallowed
        crashed(error)
        return
    if awaited is not _OVER:  # most denials wait for nothing: nothing has to be remembered
        _Strand(steps, crashed).wait_for(awaited)


class _Strand:
    """A story that waits, and who hears when it crashes."""

    __slots__ = ("_crashed", "_steps")

    def __init__(
        self, steps: Generator[Any, Any, None], crashed: Callable[[BaseException], None]
    ) -> None:
        self._steps = steps
        self._crashed = crashed

    def advance(self, _done: Any = None) -> None:
        try:
            awaited = next(self._steps, _OVER)
        except (Exception, CancelledError) as error:  # noqa: BLE001 - handed on, not swallowed
            self._crashed(error)
            return
        if awaited is not _OVER:
            self.wait_for(awaited)

    def wait_for(self, awaited: Any) -> None:
        """Let `awaited` resume the story."""
        if type(awaited) is Signal:
            awaited.wake = self.advance
        elif getattr(awaited, "_asyncio_future_blocking", None):
            # The protocol between `asyncio.Future.__await__` and whoever drives it (see asyncio.Task.__step).
            awaited._asyncio_future_blocking = False  # noqa: SLF001 - see above
            awaited.add_done_callback(self.advance)
        else:
            self._steps.close()
            self._crashed(TypeError(f"a story waits for a signal or a future, not for {awaited!r}"))
