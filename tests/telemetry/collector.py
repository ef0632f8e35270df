"""A collector of traces: an HTTP server in a thread that decodes what it is sent, as OTLP says."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Received:
    """One span with what stands around it."""

    def __init__(self, span: Span, resource: Mapping[str, Any], scope: str) -> None:
        self.span = span
        self.resource = resource
        self.scope = scope
        self.attributes = _plain(span.attributes)
        self.trace_id = span.trace_id.hex()
        self.span_id = span.span_id.hex()
        self.parent_id = span.parent_span_id.hex()
        self.is_server = span.kind == Span.SPAN_KIND_SERVER


class Collector:
    """What was received. `status` is how it answers; while `holds` is clear it answers nobody."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.status = 200
        self.says = b""
        self.holds = threading.Event()
        self.holds.set()
        self.endpoint = ""
        self.connections = 0
        self.hangs_up = False  # after each answer, without having said so
        self._came = threading.Condition()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._came:
            self.paths.append(path)
            self.headers.append(headers)
            for part in request.resource_spans:
                resource = _plain(part.resource.attributes)
                for scope in part.scope_spans:
                    self.spans += [
                        Received(each, resource, scope.scope.name) for each in scope.spans
                    ]
            self._came.notify_all()

    def wait_for(self, count: int, seconds: float = 10) -> list[Received]:
        """Return the spans once there are `count`; blocks."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.spans) >= count, seconds), len(self.spans)
            return [*self.spans]

    @property
    def servers(self) -> list[Received]:
        return [span for span in self.spans if span.is_server]


def _plain(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    value: AnyValue = pair.value
    return getattr(value, str(value.WhichOneof("value")))


@contextmanager
def collecting(tls: ssl.SSLContext | None = None) -> Iterator[Collector]:
    """Run a collector on a free port, with TLS under `tls`."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            collector.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.holds.wait()
            if collector.status == 200:
                fields = {name.lower(): value for name, value in self.headers.items()}
                collector.take(self.path, fields, body)
            answer = collector.says or ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.close_connection = self.close_connection or collector.hangs_up

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing: who asked does not wait any more."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    collector.endpoint = f"{scheme}://127.0.0.1:{server.server_address[1]}/v1/traces"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield collector
    finally:
        collector.holds.set()
        server.shutdown()
        server.server_close()
        thread.join()
