"""What is told of a traced request: its spans, in the words of OpenTelemetry.

Knows the stable semantic conventions for HTTP (server and client spans) and the names of our own attributes. Nothing
that `redact` takes for a credential is told. It must not know OTLP, nor any library of OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from gateway.domain.denial import Denial
from gateway.domain.outcome import Outcome, Reply
from gateway.domain.trace_context import Spans
from gateway.telemetry.label_values import METHODS

TEXT_LENGTH_MAX: Final = 1_024
"""Longer texts of clients are cut: a span is kept in memory by whoever collects it."""

Attributes = dict[str, str | int]

_OTHER: Final = "_OTHER"
"""The method of a request whose method has no entry in RFC 9110 or RFC 5789."""


class SpanData:
    """One span: ids as lower-case hexadecimal digits (`parent_id` empty without a parent), times in epoch nanoseconds.

    `is_server` tells the span of a request from that of what an upstream was asked; `is_error` whether it failed.
    """

    __slots__ = (
        *("attributes", "ends_at", "is_error", "is_server", "name", "parent_id", "span_id"),
        *("starts_at", "trace_id"),
    )

    def __init__(
        self,
        *,
        name: str,
        trace_id: bytes,
        span_id: bytes,
        parent_id: bytes,
        starts_at: int,
        ends_at: int,
        attributes: Attributes,
        is_server: bool,
        is_error: bool,
    ) -> None:
        self.name = name
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.starts_at = starts_at
        self.ends_at = ends_at
        self.attributes = attributes
        self.is_server = is_server
        self.is_error = is_error


class SpanWriter:
    """Makes spans of outcomes. `scheme` is what clients speak with us: `http` or `https`."""

    def __init__(self, redact: Callable[[str], str], scheme: str) -> None:
        self._redact = redact
        self._scheme = scheme

    def spans(self, outcome: Outcome, spans: Spans, offset: float) -> Sequence[SpanData]:
        """Return the span of a request and, if an upstream was asked, the span of that.

        `offset` seconds make epoch time of monotonic time.
        """
        starts_at = int((outcome.started + offset) * 1_000_000_000)
        ends_at = starts_at + int(outcome.duration * 1_000_000_000)
        route = outcome.route
        method = outcome.head.method if outcome.head.method in METHODS else "HTTP"
        error = _error(outcome)
        server = SpanData(
            name=method if route is None else f"{method} {route.pattern}",
            trace_id=spans.trace_id,
            span_id=spans.server_id,
            parent_id=spans.parent_id,
            starts_at=starts_at,
            ends_at=ends_at,
            attributes=dict(self._of_request(outcome, error)),
            is_server=True,
            is_error=bool(error),
        )
        result = outcome.result
        if result is None or not result.upstream:
            return (server,)
        error = _upstream_error(result)
        client = SpanData(
            name=method,
            trace_id=spans.trace_id,
            span_id=spans.client_id,
            parent_id=spans.server_id,
            # What the upstream was asked ends with the request: the time before it is ours.
            starts_at=max(starts_at, ends_at - int(result.upstream_seconds * 1_000_000_000)),
            ends_at=ends_at,
            attributes=dict(self._of_upstream(outcome, result, error)),
            is_server=False,
            is_error=bool(error),
        )
        return (server, client)

    def _of_request(self, outcome: Outcome, error: str) -> Iterator[tuple[str, str | int]]:
        head, key = outcome.head, outcome.key
        path, _, query = head.target.partition(b"?")
        host, port = _split(head.authority.decode("latin-1"))
        yield from self._method(head.method)
        yield "url.scheme", self._scheme
        yield "url.path", self._clean(path)
        if query:
            yield "url.query", self._clean(query)
        if host:
            yield "server.address", self._cut(host)
        if port:
            yield "server.port", port
        yield "client.address", outcome.client_address
        yield "network.peer.address", outcome.peer_address
        yield "network.protocol.version", "1.0" if head.is_http_10 else "1.1"
        if head.user_agent:
            yield "user_agent.original", self._clean(head.user_agent)
        if outcome.status:
            yield "http.response.status_code", outcome.status
        if error:
            yield "error.type", error
        if outcome.route is not None:
            yield "http.route", outcome.route.pattern
        yield "tollhouse.route", outcome.route_name
        yield "tollhouse.request_id", self._clean(outcome.request_id)
        yield "tollhouse.ended", outcome.ended
        if outcome.reason is not None:
            yield "tollhouse.reason", outcome.reason.value
        if key is not None:
            yield "tollhouse.key_id", key.record.key_id
            yield "tollhouse.tenant_id", key.tenant.tenant_id
            yield "tollhouse.environment", key.record.environment

    def _of_upstream(
        self, outcome: Outcome, result: Reply | Denial, error: str
    ) -> Iterator[tuple[str, str | int]]:
        yield from self._method(outcome.head.method)
        yield "tollhouse.upstream", result.upstream
        if isinstance(result, Reply):
            host, port = _split(result.target)
            yield "tollhouse.upstream_target", result.target
            yield "server.address", host
            if port:
                yield "server.port", port
            yield "network.protocol.version", "1.1"
            yield "http.response.status_code", result.status
        if error:
            yield "error.type", error

    def _method(self, method: str) -> Iterator[tuple[str, str]]:
        if method in METHODS:
            yield "http.request.method", method
        else:
            yield "http.request.method", _OTHER
            yield "http.request.method_original", self._cut(method)

    def _clean(self, raw: bytes) -> str:
        return self._cut(raw.decode("utf-8", "backslashreplace"))

    def _cut(self, text: str) -> str:
        # Redacted before it is cut: half a secret no longer looks like one.
        clean = self._redact(text)
        return clean if len(clean) <= TEXT_LENGTH_MAX else f"{clean[:TEXT_LENGTH_MAX]}…"


def _error(outcome: Outcome) -> str:
    """Return why a request failed; what is the client's fault is no failure of a server."""
    if outcome.status >= 500:
        return str(outcome.status) if outcome.reason is None else outcome.reason.value
    return outcome.ended if outcome.ended not in ("complete", "client_gone") else ""


def _upstream_error(result: Reply | Denial) -> str:
    """Return why what the upstream was asked failed: for a client, every status from 400 on is a failure."""
    if isinstance(result, Denial):
        return result.reason.value
    if result.status >= 400:
        return str(result.status)
    return result.ended if result.ended != "complete" else ""


def _split(authority: str) -> tuple[str, int]:
    """Return host and port of `host:port`, `[v6]:port`, `host` or `unix:path`; port 0 where there is none."""
    host, colon, port = authority.rpartition(":")
    if not colon or host == "unix" or not (port.isascii() and port.isdigit()):
        return authority.removeprefix("unix:"), 0
    return host.strip("[]"), int(port) if len(port) <= 5 else 0
