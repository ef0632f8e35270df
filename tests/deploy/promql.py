"""Reads as much PromQL as it takes to say which metrics, labels and label values an expression relies on."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.domain.keys import KeyState
from gateway.listeners.streams import CAUSES
from gateway.telemetry import families, label_values
from gateway.telemetry.process import MEANINGS
from gateway.upstreams.breaker import BreakerState

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: install Debian's prometheus"
)

FROM_PROMETHEUS = frozenset({"job", "instance"})

CLOSED: Mapping[str, frozenset[str]] = {
    "reason": frozenset(label_values.DECISIONS),
    "source": frozenset(label_values.SOURCES),
    "outcome": frozenset({*label_values.UPSTREAM_OUTCOMES, *label_values.LIMIT_OUTCOMES, "failed"}),
    "state": frozenset({*(state.value for state in KeyState), *(s.value for s in BreakerState)}),
    "cause": frozenset(reason.value for reason in CAUSES),
    "result": frozenset(label_values.RELOAD_RESULTS),
}
"""Labels of which all values are known, whatever the metric."""

_STRING = r'"(?:[^"\\]|\\.)*"'
_MATCHER = re.compile(rf"(\w+)\s*(=~|!~|!=|=)\s*({_STRING})")
_SELECTOR = re.compile(rf"([a-zA-Z_:][\w:]*)?\s*\{{((?:[^{{}}\"]|{_STRING})*)\}}")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_NAME = re.compile(r"(?<![\w.$:])[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])")
_WORDS = frozenset(
    {"and", "or", "unless", "bool", "offset", "group_left", "group_right", "by", "on"}
)


@dataclass
class Uses:
    """What an expression relies on; `matchers` are (metric, label, value) of `=` and of alternatives of `=~`."""

    metrics: set[str] = field(default_factory=set)
    labels: set[tuple[str, str]] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    values: set[tuple[str, str]] = field(default_factory=set)


def uses(expression: str) -> Uses:
    """Return what `expression` relies on."""
    found = Uses()

    def selector(match: re.Match[str]) -> str:
        name = match[1] or ""
        if name:
            found.metrics.add(name)
        for label, operator, value in _MATCHER.findall(match[2]):
            found.labels.add((name, label))
            text = value[1:-1]
            alternatives = text.split("|") if operator.endswith("~") else [text]
            found.values |= {(label, each) for each in alternatives if each.isidentifier()}
        return " "

    def grouping(match: re.Match[str]) -> str:
        found.groups |= {label.strip() for label in match[1].split(",")} - {""}
        return " "

    rest = _GROUPING.sub(grouping, _SELECTOR.sub(selector, expression))
    rest = re.sub(_STRING, " ", re.sub(r"\[[^\]]*\]", " ", rest))
    found.metrics |= {name for name in _NAME.findall(rest) if name not in _WORDS}
    return found


def exported(namespace: str = "tollhouse") -> dict[str, frozenset[str]]:
    """Return the labels of each series that a scrape yields, by its name, without those that Prometheus adds."""
    known: dict[str, frozenset[str]] = {"up": frozenset()}
    for family in families.FAMILIES:
        name, labels = f"{namespace}_{family.name}", frozenset(family.labels)
        if family.kind == "histogram":
            known[f"{name}_bucket"] = labels | {"le"}
            known[f"{name}_sum"] = known[f"{name}_count"] = labels
        else:
            known[name] = labels
    for name, (kind, _) in MEANINGS.items():
        known[name + ("_total" if kind == "counter" else "")] = frozenset()
    return known


def breaches(expression: str, known: Mapping[str, Iterable[str]]) -> list[str]:
    """Return what `expression` relies on and nobody exports."""
    used = uses(expression)
    wrong = [f"no metric {name}" for name in used.metrics if name not in known]
    has = {name: FROM_PROMETHEUS | set(known.get(name, ())) for name in used.metrics}
    wrong += [
        f"{name} has no label {label}"
        for name, label in used.labels
        if label not in has.get(name, set()) and label != "__name__"
    ]
    everywhere = set().union(*has.values(), {"__name__"}) if has else set()
    wrong += [f"nothing has a label {label}" for label in used.groups - everywhere]
    wrong += [
        f"{label} is never {value}"
        for label, value in used.values
        if label in CLOSED and value not in CLOSED[label]
    ]
    return sorted(wrong)


def promtool(*arguments: str | Path, folder: Path | None = None) -> str:
    """Run promtool and return what it printed; fails the test when it finds something."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_all(expressions: Mapping[str, str], folder: Path) -> None:
    """Let promtool parse each expression, as the rule of the given name."""
    lines = ["groups:", "  - name: all", "    rules:"]
    for name, expression in expressions.items():
        lines += [f"      - record: {re.sub(r'[^a-zA-Z0-9]', '_', f'x_{name}')}", "        expr: |"]
        lines += [f"          {line}" for line in expression.splitlines()]
    rules = folder / "all.rules.yaml"
    rules.write_text("\n".join(lines) + "\n")
    assert f"{len(expressions)} rules found" in promtool("check", "rules", "--lint=none", rules)
