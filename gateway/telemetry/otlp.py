"""Sends spans to a collector, as OTLP over HTTP.

Knows the libraries of OpenTelemetry, which only the extra `otel` brings: nothing imports this module before traces are
configured. It takes nothing from environment variables. It must not know what a span says.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Final

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway import __version__
from gateway.domain.redaction import MASK
from gateway.telemetry.spans import SpanData
from gateway.telemetry.traces import ExportFailed

_SAID_LENGTH_MAX: Final = 256
_LOGGER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class OtlpExporter:
    """Sends spans to `endpoint` with the fields `headers`, within `timeout_seconds`, retries included.

    `authorities` is a PEM file, empty for those that come with the library.
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
        self._secrets = [*headers.values()]
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
        session = requests.Session()
        session.trust_env = False  # no proxy and no password that a variable or a .netrc names
        self._exporter = OTLPSpanExporter(
            endpoint=endpoint,
            headers={"User-Agent": f"tollhouse/{__version__}", **headers},
            certificate_file=authorities or None,
            timeout=timeout_seconds,
            compression=Compression.Gzip,
            session=session,
        )
        self._said = _Said()
        logging.getLogger(_LOGGER).addFilter(self._said)

    def export(self, spans: Sequence[SpanData]) -> None:
        """Send spans (`traces.Export`)."""
        self._said.text = ""
        try:
            result = self._exporter.export([self._readable(span) for span in spans])
        except Exception as error:
            raise ExportFailed(self._without_secrets(repr(error))) from error
        if result is not SpanExportResult.SUCCESS:
            raise ExportFailed(self._without_secrets(self._said.text) or "the collector took none")

    def close(self) -> None:
        """End an export that is under way, as soon as it notices, and refuse further ones."""
        self._exporter.shutdown()
        logging.getLogger(_LOGGER).removeFilter(self._said)

    def _readable(self, span: SpanData) -> ReadableSpan:
        trace_id = int(span.trace_id, 16)
        parent = None
        if span.parent_id:
            parent = SpanContext(
                trace_id, int(span.parent_id, 16), is_remote=span.is_server, trace_flags=_SAMPLED
            )
        return ReadableSpan(
            name=span.name,
            context=SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.SERVER if span.is_server else SpanKind.CLIENT,
            instrumentation_scope=self._scope,
            status=Status(StatusCode.ERROR) if span.is_error else Status(StatusCode.UNSET),
            start_time=span.starts_at,
            end_time=span.ends_at,
        )

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text[:_SAID_LENGTH_MAX]


class _Said(logging.Filter):
    """Keeps what the library would log about its last failure: it logs every attempt, we one a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.text = record.getMessage()
        return False
