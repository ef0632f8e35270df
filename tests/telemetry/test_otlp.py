"""Spans reach a collector as OTLP, and a collector that does not take them is an error with a cause."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from gateway import __version__
from gateway.domain.redaction import MASK
from gateway.domain.trace_context import GivenTrace, Spans
from gateway.telemetry.otlp import OtlpExporter
from gateway.telemetry.spans import SpanData, SpanWriter
from gateway.telemetry.traces import ExportFailed
from tests.certificates import authority, trust
from tests.telemetry.collector import Collector, collecting
from tests.telemetry.outcomes import make_key, make_outcome

OWN = b"0123456789abcdeffedcba9876543210"
GIVEN = GivenTrace(b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"")


@contextmanager
def exporting(endpoint: str, **options: Any) -> Iterator[OtlpExporter]:
    values: dict[str, Any] = {
        "headers": {},
        "authorities": "",
        "service_name": "edge",
        "timeout_seconds": 5,
    }
    exporter = OtlpExporter(endpoint=endpoint, **(values | options))
    try:
        yield exporter
    finally:
        exporter.close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def spans(given: GivenTrace | None = None, **fields: Any) -> list[SpanData]:
    writer = SpanWriter(lambda text: text, "http")
    return [*writer.spans(make_outcome(**fields), Spans(OWN, given), 0.0)]


def test_spans_arrive_as_the_protocol_says(collector: Collector) -> None:
    sent = spans(key=make_key(), upstream_target="10.0.1.1:9000")
    with exporting(collector.endpoint) as exporter:
        exporter.export(sent)
    server, client = collector.spans
    assert (server.is_server, client.is_server) == (True, False)
    assert server.trace_id == client.trace_id == OWN.decode()
    assert (server.span_id, server.parent_id) == (OWN[16:].decode(), "")
    assert (client.span_id, client.parent_id) == (OWN[:16].decode(), OWN[16:].decode())
    assert server.attributes == sent[0].attributes
    assert client.attributes == sent[1].attributes
    assert server.span.name == "GET /v1"
    assert server.span.start_time_unix_nano == sent[0].starts_at
    assert server.span.end_time_unix_nano == sent[0].ends_at
    assert server.span.status.code == Status.STATUS_CODE_UNSET


def test_the_resource_says_who_exports(collector: Collector) -> None:
    with exporting(collector.endpoint) as exporter:
        exporter.export(spans())
    found = collector.spans[0]
    assert found.resource["service.name"] == "edge"
    assert found.resource["service.version"] == __version__
    assert found.resource["service.instance.id"]
    assert found.scope == "tollhouse"


def test_the_parent_of_a_trace_that_came_is_the_client_s_span(collector: Collector) -> None:
    with exporting(collector.endpoint) as exporter:
        exporter.export(spans(GIVEN))
    server, client = collector.spans
    assert (server.trace_id, server.parent_id) == ("a" * 32, "b" * 16)
    assert client.parent_id == server.span_id


def test_an_error_is_told_as_the_status(collector: Collector) -> None:
    with exporting(collector.endpoint) as exporter:
        exporter.export(spans(status=500))
    assert [each.span.status.code for each in collector.spans] == [Status.STATUS_CODE_ERROR] * 2


def test_the_collector_gets_the_fields_that_it_wants(collector: Collector) -> None:
    with exporting(collector.endpoint, headers={"X-Api-Key": "s3cret"}) as exporter:
        exporter.export(spans())
    (fields,) = collector.headers
    assert fields["x-api-key"] == "s3cret"
    assert fields["content-type"] == "application/x-protobuf"
    assert collector.paths == ["/v1/traces"]


def test_variables_of_the_environment_change_nothing(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-evil=1")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=other")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with exporting(collector.endpoint) as exporter:
        exporter.export(spans())
    assert "x-evil" not in collector.headers[0]
    assert collector.spans[0].resource["service.name"] == "edge"


def test_a_refusal_of_the_collector_is_an_error_that_tells_no_secret(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status, collector.says = 400, b"who is s3cret-s3cret?"
    with (
        exporting(collector.endpoint, headers={"X-Key": "s3cret-s3cret"}) as exporter,
        caplog.at_level(logging.DEBUG),
        pytest.raises(ExportFailed) as caught,
    ):
        exporter.export(spans())
    assert "400" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert MASK in str(caught.value)
    assert "s3cret" not in caplog.text


def test_a_collector_that_is_not_there_is_an_error_within_the_time_that_it_has() -> None:
    with (
        exporting("http://127.0.0.1:1/v1/traces", timeout_seconds=0.2) as exporter,
        pytest.raises(ExportFailed, match="refused"),
    ):
        exporter.export(spans())


def test_closing_ends_an_export_that_waits_to_try_again(collector: Collector) -> None:
    collector.status = 503
    errors: list[ExportFailed] = []

    def export(exporter: OtlpExporter) -> None:
        try:
            exporter.export(spans())
        except ExportFailed as error:
            errors.append(error)

    with exporting(collector.endpoint, timeout_seconds=60) as exporter:
        thread = threading.Thread(target=export, args=(exporter,))
        thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert errors


def test_one_connection_serves_many_exports(collector: Collector) -> None:
    with exporting(collector.endpoint) as exporter:
        for _ in range(3):
            exporter.export(spans())
    assert (collector.connections, len(collector.servers)) == (1, 3)


def test_a_kept_connection_that_has_ended_costs_nothing(collector: Collector) -> None:
    collector.hangs_up = True
    with exporting(collector.endpoint) as exporter:
        for _ in range(3):
            exporter.export(spans())
    assert (collector.connections, len(collector.servers)) == (3, 3)


def test_spans_that_the_collector_had_no_time_for_are_sent_again(collector: Collector) -> None:
    collector.status = 503

    def recover() -> None:
        collector.status = 200

    timer = threading.Timer(0.1, recover)
    timer.start()
    with exporting(collector.endpoint) as exporter:
        exporter.export(spans())
    timer.join()
    assert len(collector.servers) == 1


def test_a_collector_that_does_not_answer_is_given_up_in_time(collector: Collector) -> None:
    collector.holds.clear()
    with (
        exporting(collector.endpoint, timeout_seconds=0.2) as exporter,
        pytest.raises(ExportFailed, match="timed out"),
    ):
        exporter.export(spans())


def test_a_closed_exporter_sends_nothing(collector: Collector) -> None:
    with exporting(collector.endpoint) as exporter:
        exporter.close()
        with pytest.raises(ExportFailed, match="stops"):
            exporter.export(spans())
    assert collector.connections == 0


def test_an_https_collector_is_believed_only_under_the_given_authorities(tmp_path: Path) -> None:
    ca, other = authority(), authority("other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with collecting(context) as collector:
        trusted = str(trust(tmp_path, ca))
        with exporting(collector.endpoint, authorities=trusted) as exporter:
            exporter.export(spans())
        untrusted = str(trust(tmp_path, other, "other.pem"))
        with (
            exporting(collector.endpoint, authorities=untrusted, timeout_seconds=0.1) as exporter,
            pytest.raises(ExportFailed, match="certificate verify failed"),
        ):
            exporter.export(spans())
    assert len(collector.servers) == 1
