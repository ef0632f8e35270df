"""Notices that the files of a configuration have changed.

Knows when content is still enough to be read. It must not know what the files hold.
"""

from __future__ import annotations

import asyncio

from gateway.config.sources import Sources


class Watch:
    """Looks whether files are as they were read. Content must be the same in two looks before it counts as changed."""

    def __init__(self, sources: Sources) -> None:
        self._known = sources
        self._last: Sources | None = None

    def know(self, sources: Sources) -> None:
        """Take note of what was read, whatever came of it."""
        self._known = sources
        self._last = None

    def knows(self, sources: Sources) -> bool:
        """Tell whether this is what was taken note of last."""
        return sources == self._known

    async def know_present(self) -> None:
        """Take note of what the files hold now, as if it had been read."""
        self.know(await asyncio.to_thread(self._known.now))

    async def look(self) -> Sources | None:
        """Return what the files hold if that is new and the same as at the last look, else None."""
        known = self._known
        now = await asyncio.to_thread(known.now)
        if known is not self._known:
            return None  # they were read meanwhile
        before, self._last = self._last, now
        return now if now == before and now != known else None
