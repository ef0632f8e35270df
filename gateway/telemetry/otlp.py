"""Sends spans to a collector, as OTLP over HTTP.

Knows the encoding of OpenTelemetry's libraries, which only the extra `otel` brings: nothing imports this module before
traces are configured. What goes over the wire is sent here and not by their exporter, which takes headers, certificates
and proxies from environment variables, too, and never says why it failed. It must not know what a span says.
"""

from __future__ import annotations

import gzip
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway import __version__
from gateway.domain.redaction import MASK
from gateway.telemetry.spans import SpanData
from gateway.telemetry.traces import ExportFailed

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
"""Statuses after which the same spans may be sent again (OTLP 1.5, "OTLP/HTTP Throttling" and "Failures")."""

_PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further attempt, as long as there is time."""

_ANSWER_BYTES_MAX: Final = 64 * 1024
_SAID_LENGTH_MAX: Final = 256
_COMPRESSION_LEVEL: Final = 1
"""Spans repeat themselves: higher levels take thrice the time for a tenth less."""

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class OtlpExporter:
    """Sends spans to `endpoint` with the fields `headers`, within `timeout_seconds`, further attempts included.

    `authorities` is a PEM file, empty for those that the system trusts. For one thread at a time; `close` is for any.
    Raises `OSError` when the authorities cannot be read.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        headers: Mapping[str, str],
        authorities: str,
        service_name: str,
        timeout_seconds: float,
    ) -> None:
        self._url = urlsplit(endpoint)
        self._secrets = [*headers.values()]
        self._headers = {
            **headers,
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": f"tollhouse/{__version__}",
        }
        self._tls = None
        if self._url.scheme == "https":
            self._tls = ssl.create_default_context(cafile=authorities or None)
        self._timeout_seconds = timeout_seconds
        self._resource = Resource(
            {
                "service.name": service_name,
                "service.version": __version__,
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
                "telemetry.sdk.language": "python",
                "telemetry.sdk.name": "opentelemetry",
            }
        )
        self._scope = InstrumentationScope("tollhouse", __version__)
        self._connection: http.client.HTTPConnection | None = None
        self._closing = threading.Event()
        self._turn = threading.Lock()

    def export(self, spans: Sequence[SpanData]) -> None:
        """Send spans (`traces.Export`)."""
        with self._turn:
            try:
                self._send(spans)
            finally:
                if self._closing.is_set():
                    self._disconnect()

    def close(self) -> None:
        """Let an export that waits to try again give up, and further ones fail at once."""
        self._closing.set()
        if self._turn.acquire(blocking=False):  # else who has it disconnects
            try:
                self._disconnect()
            finally:
                self._turn.release()

    # ---- attempts

    def _send(self, spans: Sequence[SpanData]) -> None:
        message = encode_spans([self._readable(span) for span in spans]).SerializeToString()
        body = gzip.compress(message, _COMPRESSION_LEVEL)
        deadline = time.monotonic() + self._timeout_seconds
        for pause in (*_PAUSES, float("inf")):
            failure, may_retry = self._attempt(body, deadline - time.monotonic())
            if not failure:
                return
            is_late = time.monotonic() + pause >= deadline
            if not may_retry or is_late or self._closing.wait(pause):
                raise ExportFailed(failure)

    def _attempt(self, body: bytes, seconds: float) -> tuple[str, bool]:
        """Return why the collector did not take `body`, empty if it did, and whether another attempt may help."""
        if self._closing.is_set():
            return "the gateway stops", False
        is_kept = self._connection is not None
        try:
            status, text = self._post(body, seconds)
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            # A connection that was kept may have ended meanwhile: that says nothing about the collector.
            if is_kept and not isinstance(error, TimeoutError):
                return self._attempt(body, seconds)
            return self._told(str(error) or type(error).__name__), True
        if 200 <= status < 300:
            return "", False
        return self._told(f"the collector answered {status}: {text}"), status in _RETRYABLE

    def _post(self, body: bytes, seconds: float) -> tuple[int, str]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        connection.timeout = max(seconds, 0.001)
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        target = f"{self._url.path or '/'}{'?' if self._url.query else ''}{self._url.query}"
        connection.request("POST", target, body, self._headers)
        response = connection.getresponse()
        text = response.read(_ANSWER_BYTES_MAX)
        if not response.isclosed():
            self._disconnect()  # more than a collector has to say
        return response.status, text.decode("utf-8", "backslashreplace")

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port, context=self._tls)
        return http.client.HTTPConnection(host, port)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _told(self, text: str) -> str:
        """Return what the log may know of what a collector said: it may repeat what it was sent."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return repr(text[:_SAID_LENGTH_MAX])[1:-1]

    def _readable(self, span: SpanData) -> ReadableSpan:
        trace_id = int(span.trace_id, 16)
        parent = None
        if span.parent_id:
            parent = SpanContext(
                trace_id, int(span.parent_id, 16), is_remote=span.is_server, trace_flags=_SAMPLED
            )
        return ReadableSpan(
            name=span.name,
            context=SpanContext(
                trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED
            ),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.SERVER if span.is_server else SpanKind.CLIENT,
            instrumentation_scope=self._scope,
            status=Status(StatusCode.ERROR) if span.is_error else Status(StatusCode.UNSET),
            start_time=span.starts_at,
            end_time=span.ends_at,
        )
