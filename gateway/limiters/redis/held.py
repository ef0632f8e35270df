"""The requests in flight that this node has counted in Redis, so that they can be given back, and said to live.

Knows names and times. It must not know Redis: a request that nobody speaks of any more is given up there by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Held(NamedTuple):
    """One request in one bucket: `key` and `member` as Redis knows them; `since` monotonic seconds."""

    key: bytes
    member: bytes
    since: float


class Holdings:
    """What is held, by the name of the bucket. Requests of one bucket are as good as each other."""

    def __init__(self) -> None:
        self._by_bucket: dict[str, list[Held]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_bucket.values()))

    def add(self, bucket: str, held: Held) -> None:
        """Take note of a request that was let in."""
        self._by_bucket.setdefault(bucket, []).append(held)

    def take(self, bucket: str) -> Held | None:
        """Return one that has ended, None when there is none."""
        found = self._by_bucket.get(bucket)
        if not found:
            return None
        held = found.pop()
        if not found:
            del self._by_bucket[bucket]
        return held

    def old(self, before: float) -> Iterator[tuple[bytes, list[bytes]]]:
        """Yield key and members of those that are held since a time before that one."""
        for found in list(self._by_bucket.values()):
            members = [held.member for held in found if held.since <= before]
            if members:
                yield found[0].key, members
