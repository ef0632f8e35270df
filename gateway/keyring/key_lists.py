"""One page of keys: by an index where there is one, else looked for part by part.

Knows that what is asked for may be rare among millions: a page is filled as far as the time reaches, and goes on where
that ended. It must not know who asks, nor lead anybody behind a key that is not theirs to see: a cursor tells where.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.queries import KeyQuery, Place, Sort
from gateway.keyring.cursors import cursor_at, place_of
from gateway.keyring.ledger import Page
from gateway.ports import Clock, KeyStore

PART: Final = 10_000
"""Keys that the store looks through at a time: some 20 ms, in which others wait for it."""

LOOK_SECONDS: Final = 1.0
"""How long a page is looked for. Then it is given out as it is: a person who waits sees that something happens."""

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


async def page_of_keys(
    store: KeyStore,
    clock: Clock,
    query: KeyQuery,
    after: str,
    limit: int,
    *,
    part: int = PART,
) -> Page[KeyRecord]:
    """Return one page of the keys that `query` asks for; `state` is the one that holds now.

    It may hold fewer than `limit`, even none, though more follow. Raises `Refused` for what is no cursor.
    """
    asked, place = _stored(query, clock.now()), _begin(after, query.sort)
    found: list[KeyRecord] = []
    called = await _called(store, asked) if query.text and not after else None
    if called is not None:
        return Page([called] if query.state in ("", called.state_at(clock.now())) else [], "")
    until = clock.monotonic() + LOOK_SECONDS
    while True:
        wanted = limit + 1 - len(found)
        sort = None if query.sort is None else replace(query.sort, value=place.value)
        end = await _end(store, asked, sort, place.record_id, part)
        here = replace(asked, sort=sort, until=end)
        rows = await store.list_keys(here, after=place.record_id, limit=wanted)
        now = clock.now()
        found += [row for row in rows if query.state in ("", row.state_at(now))]
        if len(found) > limit:
            return Page(found[:limit], cursor_at(_place(found[limit - 1], query.sort), query.sort))
        if len(rows) == wanted:
            place = _place(rows[-1], query.sort)
        elif end is None:
            return Page(found, "")
        else:
            place = end
        if clock.monotonic() >= until:
            return Page(found, cursor_at(place, query.sort))


async def _called(store: KeyStore, asked: KeyQuery) -> KeyRecord | None:
    """Return the key whose id the text is, if it is asked for: whoever gives an id does not mean part of a name."""
    text = asked.text
    if _ID.fullmatch(text) is None:
        return None
    just_before = f"{text[:-1]}{chr(ord(text[-1]) - 1)}\U0010ffff"
    one = replace(asked, sort=None, until=Place(None, text))
    for key in await store.list_keys(one, after=just_before, limit=1):
        return key
    return None


def _stored(query: KeyQuery, now: float) -> KeyQuery:
    """Return what the store is asked for: it does not know what time has made of a key."""
    if query.state == KeyState.EXPIRED:
        return replace(query, state="", expired_at=now)
    return query


def _begin(cursor: str, sort: Sort | None) -> Place:
    after, order = place_of(cursor, sort)
    return Place(None if order is None else order.value, after)


def _place(record: KeyRecord, sort: Sort | None) -> Place:
    return Place(None if sort is None else getattr(record, sort.field), record.key_id)


async def _end(
    store: KeyStore, asked: KeyQuery, sort: Sort | None, after: str, part: int
) -> Place | None:
    """Return up to where is looked; None: to the end, because an index leads to what is asked for."""
    if not asked.is_sifted:
        return None
    return await store.place_ahead(part, sort=sort, after=after, tenant_id=asked.one_tenant)
