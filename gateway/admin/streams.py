"""Open streams over the admin API: who is connected now, for how long, and how much has passed.

Knows paths and pages. It must not know connections; what is open, the registry says when it is asked.
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from gateway.admin.auth import PRINCIPAL
from gateway.admin.described import lists
from gateway.admin.problems import BadRequest
from gateway.admin.requests import answer_page, read_limit, read_query
from gateway.admin.rights import needs
from gateway.admin.wire import StreamView
from gateway.domain.admin_tokens import Right
from gateway.domain.streams import StreamKind, StreamReport
from gateway.ports import Streams

_ASKED: Final = ("key_id", "lineage_id", "tenant_id", "route", "kind")
"""What streams may be asked for, each a field of their view."""


_CURSOR: Final = r"([0-9]{1,20}(?:\.[0-9]{1,20})?(?:e-?[0-9]{1,3})?)~([A-Za-z0-9_-]{1,64})"
"""When the last stream of a page began, and its id."""


class StreamRoutes:
    """The handlers of `/admin/v1/streams`; `streams` is None where no gateway runs."""

    def __init__(self, streams: Streams | None) -> None:
        self._streams = streams

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get("/admin/v1/streams", self.page, allow_head=False)]

    @needs(Right.READ, is_filtered=True)
    @lists(
        StreamView,
        *_ASKED,
        schemas={
            "kind": {"enum": [str(each) for each in StreamKind]},
            "cursor": {"type": "string", "pattern": f"^({_CURSOR})?$"},
        },
        errors=(409,),
    )
    async def page(self, request: web.Request) -> web.Response:
        """List streams, the oldest first."""
        query = read_query(request, (*_ASKED, "limit", "cursor"))
        if self._streams is None:
            raise BadRequest(409, "No gateway runs here: only a running one has streams.")
        if "kind" in query and query["kind"] not in set(StreamKind):
            raise BadRequest(400, f"`kind` is one of {', '.join(StreamKind)}.")
        limit, after = read_limit(query), _read_cursor(query.get("cursor", ""))
        wanted = [(name, query[name]) for name in _ASKED if name in query]
        within = await request[PRINCIPAL].reach.tenant_ids()
        found: list[tuple[tuple[float, str], StreamView]] = []
        for stream in await self._streams.listed():
            if within is not None and stream.tenant_id not in within:
                continue
            view = StreamView.of(stream)
            if _place(stream) > after and all(getattr(view, name) == it for name, it in wanted):
                found.append((_place(stream), view))
        found.sort(key=lambda entry: entry[0])
        page = found[:limit]
        cursor = "{}~{}".format(*page[-1][0]) if len(found) > limit else ""
        return answer_page((view for _, view in page), cursor)


def _place(stream: StreamReport) -> tuple[float, str]:
    """Return where the stream stands among all, for as long as it lasts."""
    return stream.started, stream.stream_id


def _read_cursor(cursor: str) -> tuple[float, str]:
    if not cursor:
        return float("-inf"), ""
    found = re.fullmatch(_CURSOR, cursor)
    if found is None:
        raise BadRequest(400, "`cursor` is the `next_cursor` of the page before.")
    return float(found[1]), found[2]
