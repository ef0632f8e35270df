"""What goes through the gateway and what does not: the middle of the overview."""

from __future__ import annotations

from typing import Final

from deploy.grafana.board import Row
from deploy.grafana.panels import (
    PER_SECOND,
    SECONDS,
    SHARE,
    bars,
    graph,
    heatmap,
    quantiles,
    table,
)
from deploy.grafana.promql import gauge, increase, mean, percentiles, quantile, rate, ratio

_ROUTES: Final = 'route=~"$route"'
_OURS: Final = 'source="gateway"'
_THEIRS: Final = 'source="upstream"'
_FAILED: Final = 'code=~"5.."'
_REFUSED: Final = 'reason!="accepted"'
_NO_TRAFFIC: Final = "Empty without requests."


def _share_of_route(*matchers: str) -> str:
    """Return which share of a route's requests `matchers` choose, over the time that is shown."""
    chosen = rate("requests_total", _ROUTES, *matchers, by=("route",), window="$__range")
    return ratio(chosen, rate("requests_total", _ROUTES, by=("route",), window="$__range"))


TRAFFIC: Final = Row(
    title="Traffic: rate, errors and duration of each route",
    panels=(
        graph(
            "Requests",
            "Requests answered per second, whoever answered.",
            (rate("requests_total", _ROUTES, by=("route",)), "{{route}}"),
            unit=PER_SECOND,
            empty=_NO_TRAFFIC,
        ),
        graph(
            "Errors",
            "Share of requests answered with a 5xx: by the gateway (it failed, or an upstream did not answer), or by "
            "an upstream.",
            (
                f"{rate('requests_total', _ROUTES, _FAILED, by=('route', 'source'))} "
                f"/ on (route) group_left () ({rate('requests_total', _ROUTES, by=('route',))} > 0)",
                "{{route}}, by {{source}}",
            ),
            unit=SHARE,
            empty="Empty when there were none.",
        ),
        graph(
            "Duration, p95",
            "From the first byte of a request's head to the last byte of its answer.",
            (quantile(0.95, "request_duration_seconds", _ROUTES, by=("route",)), "{{route}}"),
            unit=SECONDS,
            empty=_NO_TRAFFIC,
        ),
        table(
            "Routes",
            "Means over the time that is shown. Requests that matched no route are `__unmatched__`.",
            (
                (
                    "Requests",
                    PER_SECOND,
                    rate("requests_total", _ROUTES, by=("route",), window="$__range"),
                ),
                ("Refused", SHARE, _share_of_route(_OURS, 'code=~"4.."')),
                ("Gateway 5xx", SHARE, _share_of_route(_OURS, _FAILED)),
                ("Upstream 5xx", SHARE, _share_of_route(_THEIRS, _FAILED)),
                *(
                    (name, SECONDS, expr)
                    for expr, name in percentiles(
                        (50, 95, 99),
                        "request_duration_seconds",
                        _ROUTES,
                        by=("route",),
                        window="$__range",
                    )
                ),
                (
                    "Received",
                    "Bps",
                    rate("request_bytes_total", _ROUTES, by=("route",), window="$__range"),
                ),
                (
                    "Sent",
                    "Bps",
                    rate("response_bytes_total", _ROUTES, by=("route",), window="$__range"),
                ),
            ),
            {"route": "Route"},
            empty="Empty without requests; a column is, where nothing of its kind happened.",
        ),
        graph(
            "Answers by status",
            "Code 0: nothing was sent, since the client was gone first.",
            (rate("requests_total", _ROUTES, by=("code", "source")), "{{code}} by {{source}}"),
            is_stacked=True,
            unit=PER_SECOND,
            empty=_NO_TRAFFIC,
            width=12,
        ),
        heatmap(
            "Duration",
            "How many requests took how long.",
            rate("request_duration_seconds_bucket", _ROUTES, by=("le",)),
            empty=_NO_TRAFFIC,
            width=12,
        ),
        graph(
            "Content",
            "Bytes of request bodies received and of response bodies sent, per second.",
            (rate("request_bytes_total", _ROUTES), "received"),
            (rate("response_bytes_total", _ROUTES), "sent"),
            unit="Bps",
            empty=_NO_TRAFFIC,
            width=12,
        ),
        graph(
            "Methods",
            "Requests by method; unregistered ones count as OTHER.",
            (rate("requests_total", _ROUTES, by=("method",)), "{{method}}"),
            unit=PER_SECOND,
            is_stacked=True,
            empty=_NO_TRAFFIC,
            width=12,
        ),
    ),
)

REFUSALS: Final = Row(
    title="Refusals",
    panels=(
        graph(
            "By reason",
            "What the gateway refused or failed, by reason: the same word stands in the answer and in the access log. "
            "docs/reference/reasons.md says what to do about each.",
            (f"{rate('auth_decisions_total', _REFUSED, by=('reason',))} > 0", "{{reason}}"),
            is_stacked=True,
            unit=PER_SECOND,
            empty="Empty when nothing was refused.",
            width=16,
            height=9,
        ),
        bars(
            "Most frequent",
            "Refusals within the time that is shown.",
            f"topk(10, {increase('auth_decisions_total', _REFUSED, by=('reason',), window='$__range')} > 0)",
            "{{reason}}",
            empty="Empty when nothing was refused.",
            height=9,
        ),
    ),
)

TIME: Final = Row(
    title="Where the time goes",
    panels=(
        quantiles(
            "Overhead",
            "Time of a request that was not spent on the upstream. A client that sends slowly is in it.",
            *percentiles((50, 95, 99), "overhead_seconds"),
            empty=_NO_TRAFFIC,
        ),
        quantiles(
            "Upstreams",
            "Time spent on the upstream, for requests that contacted one.",
            *percentiles((50, 95, 99), "upstream_request_duration_seconds"),
            empty="Empty while no upstream is asked.",
        ),
        graph(
            "Mean time of a request",
            "Of all requests, also those that were refused.",
            (mean("overhead_seconds"), "gateway"),
            (
                ratio(
                    rate("upstream_request_duration_seconds_sum"), rate("overhead_seconds_count")
                ),
                "upstream",
            ),
            is_stacked=True,
            unit=SECONDS,
            empty=_NO_TRAFFIC,
        ),
    ),
)

CONNECTIONS: Final = Row(
    title="Connections and streams",
    panels=(
        graph(
            "Connections",
            "Open connections of clients, and requests that are under way on them.",
            (gauge("connections", by=("instance",)), "open, {{instance}}"),
            (gauge("in_flight_requests", by=("instance",)), "in flight, {{instance}}"),
            (gauge("connections_max", by=("instance",)), "limit, {{instance}}"),
        ),
        graph(
            "Open streams",
            "Requests that go on: tunnels, event streams, and others that have lasted for a second.",
            (gauge("open_streams", by=("kind",)), "{{kind}}"),
            is_stacked=True,
        ),
        graph(
            "Streams cut",
            "Requests that were let through and then cut, since their key, tenant or address lost what let them in.",
            (increase("streams_closed_total", by=("cause",)), "{{cause}}"),
            is_stacked=True,
        ),
        graph(
            "Connections ended",
            "By the first cause. docs/how-to/defend-against-slow-clients.md explains those that are limits.",
            (f"{rate('connections_closed_total', by=('cause',))} > 0", "{{cause}}"),
            is_stacked=True,
            unit="cps",
            empty="Empty when none ended.",
        ),
        graph(
            "Connections refused",
            "Closed before they were served, by the limit that was reached.",
            (rate("connections_refused_total", by=("cause",)), "{{cause}}"),
            is_stacked=True,
            unit="cps",
        ),
        graph(
            "TLS handshakes",
            "By how they ended; only `full` and `resumed` went well.",
            (rate("tls_handshakes_total", by=("outcome",)), "{{outcome}}"),
            is_stacked=True,
            unit="cps",
            empty="Empty without TLS on the public listener.",
        ),
    ),
)
