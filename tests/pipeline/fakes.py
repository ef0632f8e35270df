"""The peers of a request without sockets: a client's exchange, upstreams and their connections."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

from gateway.domain.affinity import Affinity
from gateway.domain.denial import Denial, Reason
from gateway.domain.request import RequestHead, ResponseHead
from gateway.domain.timeouts import Timeouts
from gateway.eager import Signal
from gateway.ports import Connection, Progress, Sink, Source, UpstreamFailure
from tests.pipeline.samples import made_fields

ADDRESS = "192.0.2.7"
NETWORK = "192.0.2.7-network"
REQUEST_ID = b"req_0123"
TRACE_ID = b"0123456789abcdef0123456789abcdef"


class Answer:
    """A response as the client reads it."""

    def __init__(self, head: bytes, body: bytes) -> None:
        assert head.endswith(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        self.line = first
        self.status = int(first.split(b" ")[1])
        self.body = body
        self.fields: list[tuple[bytes, bytes]] = []
        for line in lines:
            name, colon, value = line.partition(b": ")
            assert colon, line
            self.fields.append((name.lower(), value))

    def all(self, name: str) -> list[bytes]:
        return [value for field, value in self.fields if field == name.lower().encode()]

    def __getitem__(self, name: str) -> bytes:
        (value,) = self.all(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))


class FakeConnection:
    """Implements `ports.Connection`; answers what its upstream was told to, once it has the whole request."""

    def __init__(self, reply: Says | UpstreamFailure | None, *, is_reused: bool) -> None:
        self.target = "http://10.0.0.9:9000"
        self.is_reused = is_reused
        self.is_open = True
        self.answered: Signal[ResponseHead | UpstreamFailure] = Signal()
        self.heads: list[bytes] = []
        self.method = ""
        self.body: Source | None = None
        self.is_chunked = False
        self.timeouts: Timeouts | None = None
        self.written = b""
        self.is_finished = False
        self.cancelled: UpstreamFailure | None = None
        self.sink: Sink | None = None
        self._reply = reply

    @property
    def head(self) -> bytes:
        (head,) = self.heads
        return head

    def fields(self, name: str) -> list[bytes]:
        """Return the values of a field of the request that the upstream saw."""
        wanted = name.lower().encode()
        parts = [line.partition(b": ") for line in self.head.split(b"\r\n")[1:]]
        return [value for field, _, value in parts if field.lower() == wanted]

    def send(
        self,
        head: bytes,
        *,
        method: str,
        body: Source | None,
        is_chunked: bool,
        timeouts: Timeouts | None,
    ) -> None:
        self.heads.append(head)
        self.method, self.body, self.is_chunked = method, body, is_chunked
        self.timeouts = timeouts
        if isinstance(self._reply, UpstreamFailure) and self._reply.is_unsent:
            self.answered.set(self._reply)  # it had been closed before

    def write(self, content: bytes) -> None:
        self.written += content

    def finish(self) -> None:
        self.is_finished = True
        if self._reply is not None:
            reply = self._reply
            self.answered.set(reply.head if isinstance(reply, Says) else reply)

    def abort(self, ended: str) -> None:
        raise AssertionError(f"nothing aborts a request towards an upstream: {ended}")

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def relay_to(self, sink: Sink) -> None:
        assert self.sink is None
        self.sink = sink
        reply = self._reply
        if isinstance(reply, Says) and reply.ends is not None:
            for content in reply.content:
                sink.write(content)
            if reply.ends == "complete":
                sink.finish()
            else:
                sink.abort(reply.ends)

    def cancel(self, failure: UpstreamFailure) -> None:
        self.cancelled = failure
        self.answered.set(failure)


class Says:
    """What an upstream answers: a head, its content, and how that ends (None leaves it open)."""

    def __init__(
        self, head: ResponseHead, content: Sequence[bytes] = (), ends: str | None = "complete"
    ) -> None:
        self.head = head
        self.content = content
        self.ends = ends


def ok(*fields: tuple[str, str], status: int = 200, body: bytes = b"hello") -> Says:
    head = ResponseHead(
        status=status, reason=b"OK", fields=made_fields(fields), body_length=len(body)
    )
    return Says(head, (body,) if body else ())


Script = Says | UpstreamFailure | None


class FakeUpstream:
    """Implements `ports.Upstream`. `script` is what its connections answer, in order; then `ok()` for ever."""

    def __init__(
        self,
        name: str,
        touched: list[str],
        *,
        base_path: bytes = b"",
        host: bytes = b"",
    ) -> None:
        self.name = name
        self.base_path = base_path
        self.timeouts = Timeouts()
        self.affinity: Affinity | None = None
        self.learns = True
        self.retry_statuses: frozenset[int] = frozenset()
        self.retries = 1
        self.retried: list[str] = []
        self.tried: list[tuple[str, ...]] = []
        self.told: list[tuple[str, int | UpstreamFailure]] = []
        self.affinities: list[bytes] = []
        self.hosts: dict[str, bytes] = {}
        self.script: deque[Script] = deque()
        self.unreachable: UpstreamFailure | None = None
        self.dialling: Future[Any] | None = None
        self.connections: list[FakeConnection] = []
        self.asked_fresh: list[bool] = []
        self.connect_timeouts: Timeouts | None = None
        self._host = host
        self._touched = touched

    @property
    def last(self) -> FakeConnection:
        return self.connections[-1]

    def host_for(self, authority: bytes, target: str = "") -> bytes:
        if self.hosts:
            return self.hosts.get(target, b"")
        return self._host or authority

    def connect(
        self, affinity: bytes = b"", timeouts: Timeouts | None = None
    ) -> Connection | UpstreamFailure | Future[Any]:
        self.affinities.append(affinity)
        self.connect_timeouts = timeouts
        return self._connect(fresh=False)

    def reconnect(
        self, tried: Collection[str], affinity: bytes = b"", timeouts: Timeouts | None = None
    ) -> Connection | UpstreamFailure | Future[Any]:
        self.tried.append(tuple(tried))
        self.affinities.append(affinity)
        self.connect_timeouts = timeouts
        return self._connect(fresh=True)

    def _connect(self, *, fresh: bool) -> Connection | UpstreamFailure | Future[Any]:
        self._touched.append("upstream")
        self.asked_fresh.append(fresh)
        if self.unreachable is not None:
            return self.unreachable
        return self.dialling if self.dialling is not None else self.connection(fresh=fresh)

    def may_retry(self, cause: str, sent: int, tried: Collection[str]) -> bool:
        self.retried.append(cause)
        return cause == "unsent" or sent <= self.retries

    def heard(self, target: str, status: int) -> None:
        self.told.append((target, status))

    def failed(self, target: str, failure: UpstreamFailure) -> None:
        self.told.append((target, failure))

    def connection(self, *, fresh: bool = False) -> FakeConnection:
        made = FakeConnection(self.script.popleft() if self.script else ok(), is_reused=not fresh)
        self.connections.append(made)
        return made


class FakeExchange:
    """Implements `ports.Exchange` and holds it to its promises: one response at most, framed as it says."""

    def __init__(
        self,
        head: RequestHead,
        *,
        malformed: Denial | None = None,
        address: str = ADDRESS,
        network: str = NETWORK,
        body: Sequence[bytes] = (),
        keeps_trace: bool = True,
    ) -> None:
        self.head = head
        self.malformed = malformed
        self.keeps_trace = keeps_trace
        self.request_id = REQUEST_ID
        self.trace_id = TRACE_ID
        self.client_address = address
        self.client_network = network
        self.forwarded = b"X-Forwarded-For: %b\r\n" % address.encode()
        self.finished: Signal[str] = Signal()
        self.failure: UpstreamFailure | None = None
        self.progress: Progress | None = None
        self.is_gone = False
        self.request_bytes = 0
        self.response_bytes = 0
        self.answers: list[Answer] = []
        self.is_chunked = False
        self.is_tunnel = False
        self.content = b""
        self.aborted = ""
        self.bytes_max: int | None = None
        self._body = body
        self._upstream: Connection | None = None
        self._is_begun = False

    @property
    def peer_address(self) -> str:
        return "10.0.0.1"

    @property
    def is_begun(self) -> bool:
        return self._is_begun

    @property
    def response(self) -> Answer:
        (answer,) = self.answers
        return answer

    def closing_fields(self, *, must_close: bool = False) -> bytes:
        return b"" if self.head.keeps_alive else b"Connection: close\r\n"

    def answer(self, head: bytes, body: bytes) -> None:
        self._begin(head, body)
        if self.head.method != "HEAD":
            assert self.response["content-length"] == b"%d" % len(body)
        self.response_bytes = len(body)
        self.finished.set("complete")

    def begin(self, head: bytes, *, is_chunked: bool, connection: Connection) -> None:
        self._begin(head, b"")
        self.is_chunked = is_chunked
        self._upstream = connection

    def tunnel(self, head: bytes, connection: Connection) -> None:
        self._begin(head, b"")
        self.is_tunnel = True
        self._upstream = connection

    def _begin(self, head: bytes, body: bytes) -> None:
        assert not self._is_begun
        assert not self.is_gone
        self._is_begun = True
        self.answers.append(Answer(head, body))

    def stream_body_to(self, connection: Connection, *, bytes_max: int) -> None:
        self._upstream = connection
        self.bytes_max = bytes_max
        if self.is_gone:
            connection.cancel(UpstreamFailure(Reason.INTERNAL, "client gone"))
            return
        for content in self._body:
            self.request_bytes += len(content)
            connection.write(content)
        connection.finish()

    def write(self, content: bytes) -> None:
        self.content += content
        self.response_bytes += len(content)

    def finish(self) -> None:
        self.finished.set("complete")

    def abort(self, ended: str) -> None:
        self.aborted = ended
        self.finished.set(ended)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def leave(self) -> None:
        """The client closes its connection."""
        self.is_gone = True
        if self._upstream is not None:
            self._upstream.cancel(UpstreamFailure(Reason.INTERNAL, "client gone"))
        self.finished.set("client_gone")
