"""A dashboard as values, and the JSON that Grafana (10.4 and newer) imports.

Knows Grafana's schema and how panels are laid out: from left to right, in rows of 24 columns, so that none lies on
another. Only panels that Grafana brings along are used. It must not know what is measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

COLUMNS: Final = 24
SCHEMA_VERSION: Final = 39
"""Of Grafana 10.4 and 11.0; newer ones migrate it when they load it."""

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One expression. `legend` names its series (`{{label}}` is replaced); `is_instant` asks for the last value."""

    expr: str
    legend: str = ""
    is_instant: bool = False
    format: str = "time_series"

    def json(self, number: int) -> Json:
        """Return a Grafana target."""
        return {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "legendFormat": self.legend or "__auto",
            "format": self.format,
            "instant": self.is_instant,
            "range": not self.is_instant,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. `meaning` says how to read it, `empty` when it rightly shows nothing; both stand in its tooltip.

    `width` of 24 columns, `height` in rows of 30 pixels; `unit` is Grafana's name. `defaults` and `options` are
    Grafana's own words for what a kind of panel can do.
    """

    kind: str
    title: str
    meaning: str
    queries: tuple[Query, ...]
    empty: str = ""
    unit: str = "short"
    width: int = 8
    height: int = 8
    defaults: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    overrides: tuple[Json, ...] = ()
    transformations: tuple[Json, ...] = ()

    def json(self, number: int, x: int, y: int) -> Json:
        """Return a Grafana panel at column `x` and row `y`."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": f"{self.meaning} {self.empty}".strip(),
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {
                "defaults": {"unit": self.unit, **self.defaults},
                "overrides": list(self.overrides),
            },
            "options": self.options,
            "targets": [query.json(n) for n, query in enumerate(self.queries)],
            "transformations": list(self.transformations),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A heading with panels under it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice above the dashboard: the values that `label` has on `metric`, several at once or all of them."""

    name: str
    title: str
    metric: str

    def json(self) -> Json:
        """Return a Grafana template variable."""
        query = f"label_values({self.metric}, {self.name})"
        return {
            "type": "query",
            "name": self.name,
            "label": self.title,
            "datasource": DATASOURCE,
            "definition": query,
            "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard."""

    uid: str
    title: str
    meaning: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]

    def json(self) -> str:
        """Return the file that Grafana imports."""
        return json.dumps(self._tree(), indent=2, ensure_ascii=False) + "\n"

    def panels(self) -> Iterator[Panel]:
        """Yield all panels."""
        for row in self.rows:
            yield from row.panels

    def _tree(self) -> Json:
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.meaning,
            "tags": ["tollhouse"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "",
            "links": [_LINK],
            "annotations": {"list": [_RELOADS]},
            "templating": {"list": [_SOURCE, *(variable.json() for variable in self.variables)]},
            "panels": list(_laid_out(self.rows)),
        }


def _laid_out(rows: Iterable[Row]) -> Iterator[Json]:
    """Yield rows and panels, each below what stands before it or to the right of it."""
    number = top = 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        top += 1
        left = deepest = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top, deepest = 0, top + deepest, 0
            number += 1
            yield panel.json(number, left, top)
            left += panel.width
            deepest = max(deepest, panel.height)
        top += deepest


_LINK: Final[Json] = {
    "title": "Tollhouse",
    "type": "dashboards",
    "tags": ["tollhouse"],
    "asDropdown": False,
    "icon": "external link",
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
}

_RELOADS: Final[Json] = {
    "name": "Reloads",
    "datasource": DATASOURCE,
    "enable": True,
    "iconColor": "blue",
    "expr": 'tollhouse_config_last_reload_success_timestamp_seconds{job=~"$job", instance=~"$instance"} * 1000',
    "titleFormat": "Configuration loaded",
    "textFormat": "{{instance}}",
    "useValueForTime": "on",
    "step": "60s",
}
"""A line in every graph where a configuration was taken: what changed then is often why."""

_SOURCE: Final[Json] = {
    "type": "datasource",
    "name": "datasource",
    "label": "Prometheus",
    "query": "prometheus",
    "refresh": 1,
    "multi": False,
    "includeAll": False,
    "current": {},
}
