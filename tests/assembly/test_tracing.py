"""Traces of a whole gateway: what a collector gets, across reloads and to the end, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.assembly.access_logs import without_logs
from gateway.assembly.gateway import Gateway
from gateway.assembly.recorders import Recorders
from gateway.assembly.tracing import sampler
from gateway.config.model import Config
from gateway.domain.trace_context import Spans
from tests.assembly.serving import EDGE, ask
from tests.assembly.test_reload import reload, routed, serving
from tests.clock import FakeClock
from tests.config.sample import HEAD, PEPPER, loaded, write
from tests.telemetry.collector import Collector, Received, collecting
from tests.telemetry.outcomes import make_outcome
from tests.telemetry.test_traces import OWN
from tests.wire import until

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = f"traceparent: 00-{TRACE}-{SPAN}-01"
SECRET = "sk_live_" + "Ab3" * 16


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def exporting(collector: Collector, *settings: str) -> str:
    """Return an edge whose traces are all exported, at once."""
    given = ", ".join((f"endpoint: '{collector.endpoint}'", "flush: 10ms", *settings))
    ratio = "" if "sample_ratio" in given else ", sample_ratio: 1"
    return EDGE.replace(
        "telemetry: {access_log: {path: 'off'}}",
        f"telemetry: {{access_log: {{path: 'off'}}, traces: {{{given}{ratio}}}}}",
    )


@asynccontextmanager
async def mirror() -> AsyncIterator[str]:
    """Run an upstream that answers with the trace context that it was sent."""
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                body = b"\n".join(line for line in lines if line.startswith(b"trace"))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def arrived(collector: Collector, count: int) -> list[Received]:
    return await asyncio.to_thread(collector.wait_for, count)


async def told(gateway: Gateway, *fields: str) -> list[str]:
    """Ask through the gateway; return the trace context that the upstream was sent."""
    return (await ask(gateway.public_address, "/x?q=1", "", *fields)).body.decode().split("\n")


async def test_a_request_is_two_spans_and_the_upstream_s_parent_is_the_second(
    tmp_path: Path, collector: Collector
) -> None:
    async with mirror() as url, serving(tmp_path, routed(url), exporting(collector)) as gateway:
        (line,) = await told(gateway)
        server, client = await arrived(collector, 2)
    assert line == f"traceparent: 00-{server.trace_id}-{client.span_id}-01"
    assert (server.is_server, server.parent_id, client.parent_id) == (True, "", server.span_id)
    assert server.attributes["url.path"] == "/x"
    assert client.attributes["tollhouse.upstream"] == "u"
    assert server.resource["service.name"] == "tollhouse"


async def test_a_trace_that_came_goes_on_through_us_to_the_upstream(
    tmp_path: Path, collector: Collector
) -> None:
    edge = exporting(collector, "sample_ratio: 0")
    async with mirror() as url, serving(tmp_path, routed(url), edge) as gateway:
        lines = await told(gateway, TRACED, "tracestate: a=1")
        server, client = await arrived(collector, 2)
        assert lines == [f"traceparent: 00-{TRACE}-{client.span_id}-01", "tracestate: a=1"]
        assert (server.trace_id, server.parent_id) == (TRACE, SPAN)
        lines = await told(gateway)
        assert lines[0].endswith("-00")  # not one of those that are kept
    assert len(collector.spans) == 2


async def test_a_sender_who_keeps_nothing_is_obeyed(tmp_path: Path, collector: Collector) -> None:
    async with mirror() as url, serving(tmp_path, routed(url), exporting(collector)) as gateway:
        line = f"traceparent: 00-{TRACE}-{SPAN}-00"
        assert await told(gateway, line) == [line]
    assert collector.spans == []


async def test_a_trace_of_whom_we_do_not_follow_is_not_gone_on_with(
    tmp_path: Path, collector: Collector
) -> None:
    text = "forwarding: {traces_from: nobody}\n"
    async with (
        mirror() as url,
        serving(tmp_path, routed(url, further=text), exporting(collector)) as gateway,
    ):
        (line,) = await told(gateway, TRACED, "tracestate: a=1")
        server, client = await arrived(collector, 2)
    assert line == f"traceparent: 00-{server.trace_id}-{client.span_id}-01"
    assert (server.parent_id, server.trace_id != TRACE) == ("", True)


async def test_a_refusal_is_one_span_with_its_reason_and_without_the_secret(
    tmp_path: Path, collector: Collector
) -> None:
    text = "routes: [{name: me, match: {path: /me}, handler: introspect}]\n"
    async with serving(tmp_path, text, exporting(collector)) as gateway:
        answer = await ask(
            gateway.public_address, f"/me?token={SECRET}", SECRET, f"User-Agent: {SECRET}"
        )
        assert answer.status == 401
        (span,) = await arrived(collector, 1)
    assert span.attributes["tollhouse.reason"] == "bad_checksum"
    assert SECRET[8:] not in repr(span.attributes)


async def test_what_waits_is_exported_when_the_gateway_stops(
    tmp_path: Path, collector: Collector
) -> None:
    edge = exporting(collector).replace("flush: 10ms", "flush: 1h")
    async with mirror() as url, serving(tmp_path, routed(url), edge) as gateway:
        await told(gateway)
        assert collector.spans == []
    assert len(collector.spans) == 2


async def test_a_reload_changes_the_collector_and_loses_nothing(
    tmp_path: Path, collector: Collector
) -> None:
    first = exporting(collector).replace("flush: 10ms", "flush: 1h")
    with collecting() as other:
        async with mirror() as url, serving(tmp_path, routed(url), first) as gateway:
            await told(gateway)
            changed = await reload(gateway, routed(url), exporting(other))
            assert "telemetry.traces.endpoint" in changed
            await arrived(collector, 2)
            await told(gateway)
            await gateway.recorders.flush_traces()
            await arrived(other, 2)
            counts = gateway.recorders.tracing.counts()
            await until(lambda: gateway.recorders.tracing.counts()[("exported",)] == 2)
            assert counts[("dropped",)] == counts[("failed",)] == 0


async def test_a_reload_switches_traces_on_and_off(tmp_path: Path, collector: Collector) -> None:
    async with mirror() as url, serving(tmp_path, routed(url)) as gateway:
        assert (await told(gateway))[0].endswith("-00")
        await reload(gateway, routed(url), exporting(collector))
        assert (await told(gateway))[0].endswith("-01")
        await arrived(collector, 2)
        await reload(gateway, routed(url))
        assert (await told(gateway))[0].endswith("-00")
        assert gateway.here.generation.sampler is None
        assert gateway.recorders.tracing.open is None


async def test_a_reload_that_leaves_traces_alone_keeps_the_exporter(
    tmp_path: Path, collector: Collector
) -> None:
    async with mirror() as url, serving(tmp_path, routed(url), exporting(collector)) as gateway:
        before = gateway.recorders.tracing.open
        await reload(gateway, routed(url, "/x"), exporting(collector))
        assert gateway.recorders.tracing.open is before


async def test_a_collector_that_is_stuck_delays_nobody_and_costs_only_its_spans(
    tmp_path: Path, collector: Collector
) -> None:
    collector.holds.clear()
    edge = exporting(collector, "requests_max: 2")
    async with mirror() as url, serving(tmp_path, routed(url), edge) as gateway:
        for _ in range(20):
            assert (await ask(gateway.public_address, "/x")).status == 200
        tracing = gateway.recorders.tracing
        assert tracing.counts()[("dropped",)] >= 20 - 2 - 2  # two wait, and some are on their way
        assert "tollhouse_traced_requests_total" in gateway.recorders.metrics.render("")[0].decode()
        collector.holds.set()


async def test_exemplars_lead_from_the_histogram_to_a_trace(
    tmp_path: Path, collector: Collector
) -> None:
    async with mirror() as url, serving(tmp_path, routed(url), exporting(collector)) as gateway:
        await told(gateway, TRACED)
        await arrived(collector, 2)
        scrape = await ask(
            gateway.metrics_address, "/metrics", "", "Accept: application/openmetrics-text"
        )
    assert f'# {{trace_id="{TRACE}"}}'.encode() in scrape.body


# ---- parts


def config_with(folder: Path, collector: Collector, *settings: str) -> Config:
    return loaded(folder, exporting(collector, *settings))


def test_nobody_is_sampled_without_a_collector(tmp_path: Path, collector: Collector) -> None:
    assert sampler(loaded(tmp_path, EDGE)) is None
    assert sampler(config_with(tmp_path, collector)) is not None


def test_a_process_that_serves_nobody_exports_nothing(tmp_path: Path, collector: Collector) -> None:
    assert without_logs(config_with(tmp_path, collector)).telemetry.traces.endpoint == ""


async def test_formats_of_keys_that_a_reload_brings_are_redacted(
    tmp_path: Path, collector: Collector
) -> None:
    before = config_with(tmp_path, collector)
    recorders = Recorders(before, tmp_path / "config.yaml", FakeClock())
    formats = "key_formats: {new: {prefix: nw, environments: [live]}}\n"
    after = loaded(tmp_path, exporting(collector) + formats)
    recorders.follow(after, None)
    for token in (SECRET, SECRET.replace("sk_", "nw_")):
        outcome = make_outcome(target=f"/{token}".encode())
        recorders.tracing.record(outcome, Spans(OWN, None))
    await recorders.close()
    assert len(collector.servers) == 2
    assert SECRET[8:] not in repr([span.attributes for span in collector.spans])


async def test_a_traced_request_of_before_is_forgotten_once_nobody_exports(tmp_path: Path) -> None:
    recorders = Recorders(loaded(tmp_path, EDGE), tmp_path / "config.yaml", FakeClock())
    recorders.tracing.record(make_outcome(), Spans(OWN, None))
    assert recorders.tracing.exemplars.read() == {}
    await recorders.close()


# ---- without the extra


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )


def test_nothing_of_opentelemetry_is_imported_while_traces_are_off() -> None:
    done = run(
        "import sys, gateway.cli.main, gateway.assembly.gateway, gateway.assembly.worker\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('opentelemetry', 'requests', 'google')])"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_without_the_extra_the_gateway_says_what_to_install(tmp_path: Path) -> None:
    edge = EDGE.replace(
        "telemetry: {", "telemetry: {traces: {endpoint: 'http://127.0.0.1:4318/v1/traces'}, "
    )
    path = write(tmp_path, HEAD + edge)
    assert PEPPER in path.read_text()
    done = run(
        "import sys\nsys.modules['opentelemetry'] = None\n"
        f"from gateway.cli.main import main\nsys.exit(main(['run', '--config', {str(path)!r}]))"
    )
    assert done.returncode == 1
    assert "pip install 'tollhouse[otel]'" in done.stderr
