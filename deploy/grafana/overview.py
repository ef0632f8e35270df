"""The dashboard that is open all day: is it well, and if not, where."""

from __future__ import annotations

from typing import Final

from deploy.grafana.board import Board, Row, Variable
from deploy.grafana.panels import (
    BAD,
    GOOD,
    INSTANCE,
    JOB,
    PER_SECOND,
    SECONDS,
    SHARE,
    WARNING,
    graph,
    levels,
    quantiles,
    stat,
    table,
)
from deploy.grafana.promql import (
    gauge,
    increase,
    or_zero,
    quantile,
    rate,
    ratio,
    series,
    total,
)
from deploy.grafana.traffic import CONNECTIONS, REFUSALS, TIME, TRAFFIC

ROUTE: Final = Variable(name="route", title="Route", metric='tollhouse_requests_total{job=~"$job"}')
_FAILED: Final = 'code=~"5.."'
_REFUSED: Final = 'reason!="accepted"'
_NO_TRAFFIC: Final = "Empty without requests."
_NO_TLS: Final = "Empty when no listener has TLS."


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="tollhouse-overview",
        title="Tollhouse / Overview",
        meaning="Traffic, errors and time of each route; refusals; connections; the process and its configuration.",
        variables=(JOB, INSTANCE, ROUTE),
        rows=(_GLANCE, TRAFFIC, REFUSALS, TIME, CONNECTIONS, _PROCESS, _CONFIGURATION),
    )


_GLANCE: Final = Row(
    title="At a glance",
    panels=(
        stat("Requests", "Requests answered per second.", rate("requests_total"), unit=PER_SECOND),
        stat(
            "Without a 5xx",
            "Share of requests that were not answered with a 5xx, whoever wrote it.",
            f"1 - ({or_zero(rate('requests_total', _FAILED))}) / ({rate('requests_total')} > 0)",
            empty=_NO_TRAFFIC,
            unit=SHARE,
            defaults={"decimals": 3},
            colors=levels(BAD, (0.99, WARNING), (0.999, GOOD)),
        ),
        stat(
            "Refused",
            "Share of requests that the gateway refused or failed, for whatever reason.",
            ratio(rate("auth_decisions_total", _REFUSED), rate("auth_decisions_total")),
            empty=_NO_TRAFFIC,
            unit=SHARE,
        ),
        stat(
            "Duration, p95",
            "One request in twenty takes longer, upstream and client included.",
            quantile(0.95, "request_duration_seconds"),
            empty=_NO_TRAFFIC,
            unit=SECONDS,
        ),
        stat(
            "Overhead, p99",
            "One request in a hundred spends longer in the gateway, outside of the upstream.",
            quantile(0.99, "overhead_seconds"),
            empty=_NO_TRAFFIC,
            unit=SECONDS,
            colors=levels(GOOD, (0.005, WARNING), (0.025, BAD)),
        ),
        stat("In flight", "Requests that have begun and not ended.", gauge("in_flight_requests")),
        stat(
            "Gateways",
            "Gateways that are scraped; one with several workers counts once.",
            f"count({series('build_info')})",
            colors=levels(BAD, (1, GOOD)),
        ),
        stat(
            "Upstreams down",
            "Upstreams without a target that should get requests, or with an open breaker.",
            or_zero(f"count({series('upstream_up')} == 0)"),
            colors=levels(GOOD, (1, BAD)),
        ),
        stat(
            "Connections of the limit",
            "Open connections as a share of `connections_max`, of the fullest gateway.",
            f"max({series('connections')} / {series('connections_max')})",
            unit=SHARE,
            colors=levels(GOOD, (0.7, WARNING), (0.9, BAD)),
        ),
        stat(
            "Event loop lag, p99",
            "One timer in a hundred fires later than this: the first sign of overload.",
            quantile(0.99, "event_loop_lag_seconds"),
            unit=SECONDS,
            colors=levels(GOOD, (0.025, WARNING), (0.1, BAD)),
        ),
        stat(
            "Key store",
            "Whether the last contact of every gateway with its key store succeeded.",
            f"min({series('store_up')})",
            colors=levels(BAD, (1, GOOD)),
            defaults={
                "mappings": [
                    {"type": "value", "options": {"0": {"text": "down"}, "1": {"text": "up"}}}
                ]
            },
        ),
        stat(
            "Next certificate expires",
            "Time until the first of all certificates in use expires.",
            f"min({series('tls_certificate_expiry_timestamp_seconds')}) - time()",
            empty=_NO_TLS,
            unit=SECONDS,
            colors=levels(BAD, (2 * 86400, WARNING), (14 * 86400, GOOD)),
        ),
    ),
)

_PROCESS: Final = Row(
    title="The process",
    panels=(
        quantiles(
            "Event loop lag",
            "How late timers fire, of the slowest and of usual moments. Above some ten milliseconds, requests wait for "
            "each other.",
            *(
                (
                    quantile(of, "event_loop_lag_seconds", by=("instance",)),
                    f"p{of * 100:g}, {{{{instance}}}}",
                )
                for of in (0.5, 0.99)
            ),
        ),
        graph(
            "CPU",
            "Cores in use. One worker uses one core at most.",
            (rate("process_cpu_seconds_total", by=("instance",)), "{{instance}}"),
            unit="short",
        ),
        graph(
            "Memory",
            "Resident memory of all processes; what they share counts once for each.",
            (gauge("process_resident_memory_bytes", by=("instance",)), "{{instance}}"),
            unit="bytes",
        ),
        graph(
            "File descriptors",
            "In use, and how many there may be.",
            (gauge("process_open_fds", by=("instance",)), "open, {{instance}}"),
            (gauge("process_max_fds", by=("instance",)), "limit, {{instance}}"),
        ),
        graph(
            "Tasks",
            "Tasks of the event loops; a number that only grows is a leak.",
            (gauge("event_loop_tasks", by=("instance",)), "{{instance}}"),
        ),
        graph(
            "Records lost",
            "Access log lines that were dropped, outcomes that a recorder failed to record, and label sets that the "
            "series budget has no room for. All should be 0.",
            (increase("access_log_dropped_total"), "access log lines dropped"),
            (increase("recorder_errors_total", by=("recorder",)), "errors of {{recorder}}"),
            (increase("series_dropped_total"), "series folded"),
        ),
    ),
)

_CONFIGURATION: Final = Row(
    title="Configuration and certificates",
    panels=(
        graph(
            "Generation",
            "Number of the configuration in force; gateways that should run the same file but differ were not all "
            "reloaded.",
            (gauge("config_generation", by=("instance",)), "{{instance}}"),
            is_from_zero=False,
        ),
        graph(
            "Reloads",
            "Attempts to reload the configuration: applied or refused.",
            (increase("config_reloads_total", by=("result",)), "{{result}}"),
            colors={"refused": BAD, "applied": GOOD},
        ),
        table(
            "Gateways",
            "What runs where.",
            (
                (
                    "Build",
                    "short",
                    total(
                        series("build_info"), "instance", "version", "python", "revision", "build"
                    ),
                ),
            ),
            {
                "instance": "Gateway",
                "version": "Version",
                "python": "Python",
                "revision": "Revision",
                "build": "Kind",
            },
            width=8,
            height=8,
        ),
        stat(
            "Last reload",
            "Whether the last reload of every gateway succeeded.",
            f"min({series('config_last_reload_successful')})",
            colors=levels(BAD, (1, GOOD)),
            defaults={
                "mappings": [
                    {"type": "value", "options": {"0": {"text": "refused"}, "1": {"text": "taken"}}}
                ]
            },
        ),
        stat(
            "Wait for a restart",
            "Changed keys of the configuration that no reload can apply.",
            f"max({series('config_restart_needed')})",
            colors=levels(GOOD, (1, WARNING)),
        ),
        stat(
            "Retiring upstreams",
            "Upstreams that a reload changed or removed and that still serve requests from before it.",
            f"max({series('config_retiring_upstreams')})",
        ),
        table(
            "Certificates",
            "By the first host that each names.",
            (
                (
                    "Time left",
                    SECONDS,
                    f"min by (listener, name) ({series('tls_certificate_expiry_timestamp_seconds')}) - time()",
                ),
            ),
            {"listener": "Listener", "name": "Name"},
            empty=_NO_TLS,
            width=12,
            height=6,
        ),
    ),
)
