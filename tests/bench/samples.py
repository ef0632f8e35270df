"""Slices and reports that are made up."""

from bench.report import Report, Row
from bench.session import Results
from bench.slices import Pair, Slice
from bench.subjects import EVERYTHING_ON


def part(rate: float, cpu: float = 1e-5, *, foreign: float = 0.0, **more: float) -> Slice:
    return Slice(
        requests_per_second=rate,
        cpu_per_request=cpu,
        core_share=1.0,
        foreign_share=foreign,
        latency_p50=more.get("p50", 1e-3),
        latency_p99=more.get("p99", 2e-3),
        failures=0,
    )


def pair(reference: float, subject: float, *, foreign: float = 0.0) -> Pair:
    return Pair(part(reference, 1 / reference), part(subject, 1 / subject, foreign=foreign))


def report() -> Report:
    """A run in which the gateway has half the throughput of plain nginx, and HAProxy the whole."""
    names = {"plain nginx": 50_000.0, "HAProxy": 50_000.0, EVERYTHING_ON: 25_000.0}
    pairs = {name: [pair(50_000.0, rate)] * 3 for name, rate in names.items()}
    results = Results(
        works={"get1k": pairs, "get100k": pairs, "post10k": pairs},
        latency={
            name: [Pair(part(1, p50=1e-4, p99=1e-4), part(1, p50=3e-4, p99=5e-4))] for name in names
        },
        steady=pairs,
        floods={"401, no key": {EVERYTHING_ON: [pair(25_000.0, 100_000.0)]}},
    )
    rows = [
        Row(name=name, memory_bytes=2**20, policy_seen="200", lacks="a <hat>" * (name == "HAProxy"))
        for name in names
    ]
    return Report(
        rows=rows,
        results=results,
        facts="CPython 3.11.2; 2 cores of a CPU; Linux",
        seconds=1,
        are_cores_separate=True,
        absent={"Envoy": "envoy is not installed"},
        failed={"Caddy": "Caddy does not enforce the policy:\n  GET /: 404 instead of 200"},
    )
