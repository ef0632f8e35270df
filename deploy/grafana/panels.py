"""The kinds of panels that the dashboards use, each with the looks that it has everywhere.

Knows how a number is best shown. It must not know what it means.
"""

from __future__ import annotations

from typing import Any, Final

from deploy.grafana.board import Json, Panel, Query, Variable

JOB: Final = Variable(name="job", title="Job", metric="tollhouse_build_info")
INSTANCE: Final = Variable(
    name="instance", title="Gateway", metric='tollhouse_build_info{job=~"$job"}'
)

PER_SECOND: Final = "reqps"
SHARE: Final = "percentunit"
SECONDS: Final = "s"

GOOD, WARNING, BAD, CALM = "green", "orange", "red", "blue"


def levels(first: str, *steps: tuple[float, str]) -> Json:
    """Return colours: `first` from below, then each from its value on."""
    return {
        "color": {"mode": "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [
                {"color": first, "value": None},
                *({"color": color, "value": value} for value, color in steps),
            ],
        },
    }


def stat(title: str, meaning: str, expr: str, *, colors: Json | None = None, **more: Any) -> Panel:
    """Return one number with its course behind it, coloured by `levels`."""
    defaults = {"noValue": "none", **(colors or levels(CALM)), **more.pop("defaults", {})}
    return Panel(
        kind="stat",
        title=title,
        meaning=meaning,
        queries=(Query(expr=expr),),
        defaults=defaults,
        options={
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "textMode": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
        **{"width": 4, "height": 4, **more},
    )


def graph(
    title: str,
    meaning: str,
    *queries: tuple[str, str],
    is_stacked: bool = False,
    is_from_zero: bool = True,
    colors: dict[str, str] | None = None,
    **more: Any,
) -> Panel:
    """Return lines over time, one `(expression, legend)` after the other; `colors` by a regex of the legend."""
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if is_stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if is_stacked else "none", "group": "A"},
    }
    return Panel(
        kind="timeseries",
        title=title,
        meaning=meaning,
        queries=tuple(Query(expr=expr, legend=legend) for expr, legend in queries),
        defaults={
            "color": {"mode": "palette-classic"},
            "custom": custom,
            **({"min": 0} if is_from_zero else {}),
        },
        options={
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "calcs": ["mean", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        overrides=tuple(
            {
                "matcher": {"id": "byRegexp", "options": pattern},
                "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
            }
            for pattern, color in (colors or {}).items()
        ),
        **more,
    )


def quantiles(title: str, meaning: str, *queries: tuple[str, str], **more: Any) -> Panel:
    """Return durations over time, on a logarithmic scale: what matters differs by powers of ten."""
    panel = graph(title, meaning, *queries, is_from_zero=False, **{"unit": SECONDS, **more})
    panel.defaults["custom"]["scaleDistribution"] = {"type": "log", "log": 10}
    return panel


def heatmap(title: str, meaning: str, expr: str, **more: Any) -> Panel:
    """Return how durations are spread over time; `expr` yields the buckets of a histogram by `le`."""
    return Panel(
        kind="heatmap",
        title=title,
        meaning=meaning,
        queries=(Query(expr=expr, legend="{{le}}", format="heatmap"),),
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Blues", "steps": 64, "reverse": False},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": False},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": SECONDS},
        },
        unit="short",
        **more,
    )


def bars(title: str, meaning: str, expr: str, legend: str, **more: Any) -> Panel:
    """Return the greatest of something, each as a bar."""
    return Panel(
        kind="bargauge",
        title=title,
        meaning=meaning,
        queries=(Query(expr=expr, legend=legend, is_instant=True),),
        defaults={"min": 0, "decimals": 0, "color": {"mode": "continuous-BlPu"}},
        options={
            "displayMode": "gradient",
            "orientation": "horizontal",
            "showUnfilled": True,
            "valueMode": "color",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
        **more,
    )


def states(
    title: str, meaning: str, expr: str, legend: str, texts: dict[str, tuple[str, str]], **more: Any
) -> Panel:
    """Return which state each had when; `texts` gives a value its words and colour."""
    return Panel(
        kind="state-timeline",
        title=title,
        meaning=meaning,
        queries=(Query(expr=expr, legend=legend),),
        defaults={
            "color": {"mode": "thresholds"},
            "custom": {"fillOpacity": 70, "lineWidth": 0},
            "mappings": [_mapping(texts)],
        },
        options={
            "mergeValues": True,
            "showValue": "auto",
            "rowHeight": 0.8,
            "alignValue": "left",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
            "tooltip": {"mode": "single"},
        },
        **more,
    )


def table(
    title: str,
    meaning: str,
    columns: tuple[tuple[str, str, str], ...],
    labels: dict[str, str],
    **more: Any,
) -> Panel:
    """Return a table: one row per set of `labels` (label -> heading), one column per `(heading, unit, expression)`.

    The first column orders the rows.
    """
    headings = {f"Value #{chr(ord('A') + n)}": name for n, (name, _, _) in enumerate(columns)}
    order = {name: n for n, name in enumerate((*labels, *headings))}
    return Panel(
        kind="table",
        title=title,
        meaning=meaning,
        queries=tuple(Query(expr=expr, is_instant=True, format="table") for _, _, expr in columns),
        defaults={"custom": {"align": "auto", "filterable": True}, "noValue": "0"},
        options={
            "cellHeight": "sm",
            "showHeader": True,
            "sortBy": [{"displayName": columns[0][0], "desc": True}],
        },
        overrides=tuple(
            {
                "matcher": {"id": "byName", "options": name},
                "properties": [{"id": "unit", "value": unit}],
            }
            for name, unit, _ in columns
        ),
        transformations=(
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "indexByName": order,
                    # Of one query alone Grafana calls the column just `Value`.
                    "renameByName": labels | headings | {"Value": columns[0][0]},
                },
            },
        ),
        **{"width": 24, "height": 9, **more},
    )


def _mapping(texts: dict[str, tuple[str, str]]) -> Json:
    return {
        "type": "value",
        "options": {
            value: {"text": text, "color": color, "index": n}
            for n, (value, (text, color)) in enumerate(texts.items())
        },
    }
