"""Every alert has a page that says what to do, and what a page tells to look at exists."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from gateway.cli.main import build_parser
from gateway.config import model
from gateway.config.fields import keys
from gateway.domain.alert_rules.catalogue import RuleName
from tests.deploy.files import RUNBOOKS, alerts, blocks
from tests.deploy.promql import breaches, check_all, exported, needs_promtool

pytestmark = pytest.mark.pure  # reads what the repository says, not what is installed

PAGES = sorted(page for page in RUNBOOKS.glob("*.md") if page.name != "README.md")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def of_prometheus() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for rule in alerts():
        found.setdefault(rule["alert"], []).append(rule["labels"]["severity"])
    return found


def built_in() -> dict[str, list[str]]:
    rules = model.AlertRules()
    return {name.value: [getattr(rules, name.value).severity] for name in RuleName}


def severities() -> dict[str, list[str]]:
    return {**built_in(), **of_prometheus()}


def verbs(parser: argparse.ArgumentParser, before: str = "tollhouse") -> set[str]:
    found = {before}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                found |= verbs(each, f"{before} {name}")
    return found


def test_every_alert_has_a_page_and_no_page_is_left_over() -> None:
    assert {page.stem for page in PAGES} == set(severities())


def test_the_index_lists_every_alert_with_its_severity() -> None:
    index = (RUNBOOKS / "README.md").read_text("utf-8")
    row = r"^\| \[(\w+)\]\((\w+)\.md\) \| ([\w, ]+) \| [^|]+ \| ([\w-]+) \|$"
    rows = re.findall(row, index, re.MULTILINE)
    assert all(name == link for name, link, _, _ in rows)
    assert {name: severity.split(", ") for name, _, severity, _ in rows} == severities()
    tellers = {
        name: "both"
        if name in of_prometheus() and name in built_in()
        else "built-in"
        if name in built_in()
        else "Prometheus"
        for name in severities()
    }
    assert {name: teller for name, _, _, teller in rows} == tellers


def test_who_tells_of_an_alert_does_not_change_how_urgent_it_is() -> None:
    prometheus = of_prometheus()
    for name, [severity] in built_in().items():
        assert severity == prometheus.get(name, [severity])[0], name


@each_page
def test_a_page_answers_four_questions_in_order(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text.startswith(f"# {page.stem}\n\n**{severities()[page.stem][0]}**")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "What it means",
        "What to look at",
        "What to do",
        "When it ends",
    ]
    looked_at = text.partition("## What to look at")[2].partition("## What to do")[0]
    assert "```" in looked_at


@needs_promtool
@each_page
def test_a_page_s_queries_parse_and_rely_on_what_is_exported(page: Path, tmp_path: Path) -> None:
    queries = {str(n): query for n, query in enumerate(blocks(page, "promql"))}
    for query in queries.values():
        assert [
            found for found in breaches(query, exported()) if "label __name__" not in found
        ] == []
    if queries:
        check_all(queries, tmp_path)


@each_page
def test_a_page_names_commands_metrics_and_settings_that_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    commands = re.findall(r"(?<![\w.])tollhouse [a-z]+(?: [a-z]+)?", "\n".join(quoted(text)))
    known = verbs(build_parser())
    assert [
        each for each in commands if each not in known and each.rpartition(" ")[0] not in known
    ] == []
    metrics = {each.removesuffix("_bucket") for each in re.findall(r"\btollhouse_[a-z_]+", text)}
    names = {each.removesuffix("_bucket") for each in exported()} | {"tollhouse_"}
    assert metrics <= names
    settings = {key.path for key in keys()}
    tops = {path.partition(".")[0] for path in settings}
    named = [each for each in quoted(text) if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", each)]
    assert [each for each in named if each.partition(".")[0] in tops and each not in settings] == []


def quoted(text: str) -> list[str]:
    """Return what stands between backticks or in a block of shell commands."""
    plain = re.sub(r"```\w*\n.*?```", "", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`]+)`", plain)
    return inline + re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
