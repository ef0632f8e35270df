"""Remembers what was read from bytes that come again.

Reading a head is a pure function of its bytes, so its result may be remembered. Bounded: of `size_max` entries at
least the latest half is kept. Dropping the older half whole costs nothing per hit, and never forgets what is in
steady use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """A bounded map. `recent` may be asked directly on the hot path; then `recall` must be asked before reading anew.

    `released` is told each value that is no longer remembered: it breaks the cycles which would otherwise keep the
    value until a full garbage collection.
    """

    __slots__ = ("_half", "_older", "_released", "recent")

    def __init__(self, size_max: int, released: Callable[[V], None] | None = None) -> None:
        self._half = max(1, size_max // 2)
        self._released = released
        self.recent: dict[K, V] = {}
        self._older: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self.recent) + len(self._older)

    def recall(self, key: K) -> V | None:
        """Return what the older half knows, and move it to the recent one."""
        value = self._older.pop(key, None)
        if value is not None:
            self.keep(key, value)
        return value

    def keep(self, key: K, value: V) -> None:
        """Remember `value`."""
        if len(self.recent) >= self._half:
            dropped, self._older, self.recent = self._older, self.recent, {}
            self._release(dropped)
        self.recent[key] = value

    def clear(self) -> None:
        """Forget everything."""
        dropped = (self._older, self.recent)
        self._older, self.recent = {}, {}
        for half in dropped:
            self._release(half)

    def _release(self, dropped: dict[K, V]) -> None:
        if self._released is not None:
            for value in dropped.values():
                self._released(value)
