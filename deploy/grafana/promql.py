"""The few shapes of PromQL that the dashboards are made of.

Knows that every series is narrowed to the jobs and instances that are chosen above a dashboard. It must not know
panels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

CHOSEN: Final = 'job=~"$job", instance=~"$instance"'
WINDOW: Final = "$__rate_interval"
"""Grafana's: at least four scrapes, so that a rate always has two samples."""


def series(metric: str, *matchers: str) -> str:
    """Return the series of `metric` of the chosen gateways; of Tollhouse, unless it is one of the process."""
    name = metric if metric.startswith("process_") else f"tollhouse_{metric}"
    return f"{name}{{{', '.join((CHOSEN, *matchers))}}}"


def total(expression: str, *by: str) -> str:
    """Return the sum, one for each of `by`."""
    return f"sum{_by(by)}({expression})"


def rate(metric: str, *matchers: str, by: tuple[str, ...] = (), window: str = WINDOW) -> str:
    """Return how fast a counter grows, per second."""
    return total(f"rate({series(metric, *matchers)}[{window}])", *by)


def increase(metric: str, *matchers: str, by: tuple[str, ...] = (), window: str = WINDOW) -> str:
    """Return by how much a counter grew within `window`."""
    return total(f"increase({series(metric, *matchers)}[{window}])", *by)


def gauge(metric: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
    """Return the sum of a gauge over the chosen gateways."""
    return total(series(metric, *matchers), *by)


def quantile(
    of: float, metric: str, *matchers: str, by: tuple[str, ...] = (), window: str = WINDOW
) -> str:
    """Return an estimate of the quantile `of` (0 to 1) of a histogram."""
    return f"histogram_quantile({of:g}, {rate(f'{metric}_bucket', *matchers, by=(*by, 'le'), window=window)})"


def percentiles(
    wanted: Iterable[float],
    metric: str,
    *matchers: str,
    by: tuple[str, ...] = (),
    window: str = WINDOW,
    legend: str = "",
) -> Iterator[tuple[str, str]]:
    """Yield estimates of percentiles of a histogram, each with its name: `p95`, behind `legend`."""
    for each in wanted:
        yield (
            quantile(each / 100, metric, *matchers, by=by, window=window),
            f"{legend}p{each:g}",
        )


def mean(metric: str, *matchers: str, by: tuple[str, ...] = ()) -> str:
    """Return the mean of a histogram."""
    return ratio(rate(f"{metric}_sum", *matchers, by=by), rate(f"{metric}_count", *matchers, by=by))


def ratio(part: str, whole: str) -> str:
    """Return a share; nothing where the whole is 0."""
    return f"{part} / ({whole} > 0)"


def or_zero(expression: str) -> str:
    """Return 0 where there is nothing: for a number alone, without labels."""
    return f"({expression}) or vector(0)"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)}) " if labels else ""
