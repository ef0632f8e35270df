"""Traces of a gateway with several processes: each worker exports what it served, to the last request."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.crew import Client, create_key, pids, two_workers
from tests.telemetry.collector import Collector, Received, collecting


def settings(collector: Collector) -> dict[str, str]:
    """Return changes of the shipped configuration that export every trace, and none before the end."""
    return {
        '#endpoint: ""': f'endpoint: "{collector.endpoint}"',
        "#sample_ratio: 0.1": "sample_ratio: 1",
        "#flush: 1s": "flush: 1h",
    }


def served_by(span: Received) -> int:
    return int(str(span.resource["service.instance.id"]).rpartition(":")[2])


def test_every_worker_exports_what_it_served_when_it_stops(
    demo_upstream: str, tmp_path: Path
) -> None:
    with (
        collecting() as collector,
        two_workers(tmp_path, demo_upstream, **settings(collector)) as gateway,
    ):
        _, secret = create_key(gateway)
        clients = [Client(gateway, secret) for _ in range(16)]
        try:
            assert [client.get("/api/v1/jobs") for client in clients] == [200] * len(clients)
        finally:
            for client in clients:
                client.close()
        processes = set(pids(gateway))
        assert collector.spans == []
        assert gateway.stop() == 0
        spans = collector.servers
        assert len(spans) == len(clients)
        assert {served_by(span) for span in spans} == processes
        assert len({span.trace_id for span in spans}) == len(clients)
        assert len(collector.spans) == 2 * len(clients)
