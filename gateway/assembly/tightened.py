"""What another configuration takes from requests that are under way.

A request ends under the configuration that it began with, unless the next one would not let it begin because of who
asks for what from where: that was decided once, and a stream would keep it for ever. Knows how that is judged: by the
same steps, for the same head. It must not know the store: what became of a key or tenant there is told by who changed
it.
"""

from __future__ import annotations

from typing import Final

from gateway.assembly.binder import Binder
from gateway.assembly.draft import Draft
from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey
from gateway.domain.routes import Match
from gateway.domain.streams import OpenStream
from gateway.pipeline.authorize import authorize
from gateway.pipeline.values import Principal

_ASKING: Final = ("routes", "scopes", "environments")
"""The sections that say what is asked of whoever asks."""


def is_tightened(before: Draft, after: Draft) -> bool:
    """Tell whether anything has changed that a request which began before could be refused for."""
    return any(getattr(before.config, each) != getattr(after.config, each) for each in _ASKING)


class Tightened:
    """Condemns what `draft` would refuse to begin; a `domain.streams.Condemn` for one process.

    `NO_ROUTE` means that no route is left which the request could have taken: nobody lost a right.
    """

    def __init__(self, draft: Draft) -> None:
        self._table = draft.table
        self._barred = draft.barred
        self._bind = Binder(draft.config, draft.plans, draft.scopes)
        self._bound: dict[BoundKey, BoundKey | None] = {}

    def __call__(self, stream: OpenStream) -> Reason | None:
        """Say why `stream` could not begin now, or None if it could."""
        before = stream.route
        if before is None:
            return None  # it is being refused
        match = self._table.match(stream.head)
        if isinstance(match, Denial):
            return Reason.NO_ROUTE
        if not match.route.needs_key:
            return self._from_there(match, None, stream.client_address)
        if not before.needs_key:
            return Reason.MISSING_CREDENTIALS  # whatever it carries was never looked at
        if stream.key is None:
            return None  # see `is_undecided`
        key = self._again(stream.key)
        return None if key is None else self._from_there(match, key, stream.client_address)

    def _from_there(self, match: Match, key: BoundKey | None, address: str) -> Reason | None:
        decided = authorize(Principal(match, key), address, self._barred)
        return decided.reason if isinstance(decided, Denial) else None

    def _again(self, key: BoundKey) -> BoundKey | None:
        """Return `key` as this configuration binds it; None when it cannot, which says nothing about its rights."""
        if key not in self._bound:
            try:
                self._bound[key] = self._bind(key.record, key.tenant)
            except (LookupError, ValueError):
                self._bound[key] = None
        return self._bound[key]


def is_undecided(stream: OpenStream) -> Reason | None:
    """Find the requests whose key is still being looked up; a `domain.streams.Condemn` that only finds."""
    route = stream.route
    waits = route is not None and route.needs_key and stream.key is None
    return Reason.MISSING_CREDENTIALS if waits else None
