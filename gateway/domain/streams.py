"""What lasts: the kinds of requests that may go on for long after they were let through.

Knows how a stream is told from its heads. It must not know connections, nor who may cut a stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from gateway.domain.denial import Reason
from gateway.domain.keys import BoundKey
from gateway.domain.request import RequestHead, ResponseHead
from gateway.domain.routes import Route


class StreamKind(StrEnum):
    """What a request that goes on is doing now; an upload becomes a download when its answer begins."""

    WEBSOCKET = "websocket"
    TUNNEL = "tunnel"  # another protocol than WebSocket, after a 101
    SSE = "sse"  # server-sent events
    DOWNLOAD = "download"
    UPLOAD = "upload"
    LONG_POLL = "long_poll"  # the upstream has the whole request and has not begun its answer


ENDLESS: Final = frozenset({StreamKind.WEBSOCKET, StreamKind.TUNNEL, StreamKind.SSE})
"""Kinds that are made to last: a stream from the start, however young."""

LASTING_SECONDS: Final = 1.0
"""When any other request counts as a stream: ordinary ones are long over."""


def kind_of(head: RequestHead, relayed: ResponseHead | None, *, is_sending: bool) -> StreamKind:
    """Return the kind: `relayed` is the head of the answer once that has begun, `is_sending` whether the client sends.

    Server-sent events are known by their media type (HTML Living Standard, section 9.2).
    """
    if relayed is None:
        return StreamKind.UPLOAD if is_sending else StreamKind.LONG_POLL
    if relayed.status == 101:
        return StreamKind.WEBSOCKET if head.upgrade == b"websocket" else StreamKind.TUNNEL
    for value in relayed.values(b"content-type"):
        if value.partition(b";")[0].strip().lower() == b"text/event-stream":
            return StreamKind.SSE
    return StreamKind.DOWNLOAD


class OpenStream(Protocol):
    """A request that has begun and not ended, read when it is asked.

    `key` is None until it is known, and for callers that need none. `started` is monotonic seconds.
    """

    key: BoundKey | None
    route: Route | None
    started: float

    @property
    def head(self) -> RequestHead:
        """What was asked for."""

    @property
    def stream_id(self) -> str:
        """The id of the request."""

    @property
    def opened_at(self) -> float:
        """When it began, in epoch seconds."""

    @property
    def kind(self) -> StreamKind:
        """What it is doing now."""

    @property
    def client_address(self) -> str:
        """The address of who asked."""

    @property
    def request_bytes(self) -> int:
        """Content that came from the client so far."""

    @property
    def response_bytes(self) -> int:
        """Content that went to the client so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReport:
    """One look at a stream, which can be passed on; who and where are names, empty for nobody and nowhere.

    `tenant_id` is whom it is for.
    """

    stream_id: str
    kind: StreamKind
    key_id: str
    lineage_id: str
    tenant_id: str
    route: str
    client_address: str
    opened_at: float
    started: float
    request_bytes: int
    response_bytes: int

    @classmethod
    def of(cls, stream: OpenStream) -> StreamReport:
        """Look at `stream`."""
        record = None if stream.key is None else stream.key.record
        return cls(
            stream_id=stream.stream_id,
            kind=stream.kind,
            key_id="" if record is None else record.key_id,
            lineage_id="" if record is None else record.lineage_id,
            tenant_id="" if stream.key is None else stream.key.tenant.tenant_id,
            route="" if stream.route is None else stream.route.name,
            client_address=stream.client_address,
            opened_at=stream.opened_at,
            started=stream.started,
            request_bytes=stream.request_bytes,
            response_bytes=stream.response_bytes,
        )


Condemn = Callable[[OpenStream], Reason | None]
"""Says why a stream has to end now, or None if it may go on."""
