"""The shipped files, read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway.config import model
from tests.deploy.promql import exported

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
RULES = PROMETHEUS / "tollhouse.rules.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
HOW_TO = ROOT / "docs" / "how-to" / "watch-with-prometheus.md"

Rule = dict[str, Any]


def read(path: Path) -> Any:
    return YAML(typ="safe").load(StringIO(path.read_text("utf-8")))


def can_share() -> bool:
    """Tell whether gateways of this build can share a store and limits."""
    fields = model.Config.model_fields
    sections = (fields[name].annotation for name in ("store", "limits") if name in fields)
    return sum("url" in getattr(each, "model_fields", ()) for each in sections) == 2


def rules() -> list[Rule]:
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]


def alerts() -> list[Rule]:
    return [rule for rule in rules() if "alert" in rule]


def known() -> dict[str, frozenset[str]]:
    """Return the labels of everything that a rule may use: what is exported, and what is recorded."""
    recorded = [rule["record"] for rule in rules() if "record" in rule]
    return exported() | {name: frozenset(level(name).split("_")) for name in recorded}


def level(recorded: str) -> str:
    """Return what a recorded series is kept apart by: `job_route:...` by job and route."""
    return recorded.partition(":")[0]


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page."""
    found = re.findall(
        rf"^ *```{language}\n(.*?)^ *```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return [str(block) for block in found]


def for_promtool(expression: str, seconds: Mapping[str, str] | None = None) -> str:
    """Return an expression of a dashboard with Grafana's variables replaced."""
    given = {"__rate_interval": "5m", "__range": "1h"} | dict(seconds or {})
    for name, value in given.items():
        expression = expression.replace(f"${name}", value)
    return re.sub(r"\$(job|instance|route|upstream)\b", ".*", expression)
