"""The rules for Prometheus are valid, rely on what exists, fire when they should, and have a runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.domain.alert_rules.catalogue import RuleName
from tests.deploy.files import (
    GRAFANA,
    HOW_TO,
    PROMETHEUS,
    RULES,
    Rule,
    alerts,
    blocks,
    known,
    level,
    read,
    rules,
)
from tests.deploy.promql import FROM_PROMETHEUS, breaches, needs_promtool, promtool, uses

pytestmark = pytest.mark.pure  # reads what the repository says, not what is installed

TESTS = PROMETHEUS / "tollhouse.rules.test.yaml"


def named(rule: Rule) -> str:
    return str(rule.get("alert") or rule["record"])


@needs_promtool
def test_rules_and_scrape_configuration_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)
    assert "SUCCESS" in promtool("check", "config", PROMETHEUS / "scrape.yaml")


@needs_promtool
def test_every_alert_fires_when_it_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", TESTS)


@pytest.mark.parametrize("rule", rules(), ids=named)
def test_a_rule_relies_on_what_the_gateway_exports(rule: Rule) -> None:
    assert breaches(rule["expr"], known()) == []


@pytest.mark.parametrize("rule", [rule for rule in rules() if "record" in rule], ids=named)
def test_a_recorded_series_says_in_its_name_what_it_is_kept_apart_by(rule: Rule) -> None:
    labels = set(level(rule["record"]).split("_")) | FROM_PROMETHEUS
    assert uses(rule["expr"]).groups <= labels | {"le"}


@pytest.mark.parametrize("rule", alerts(), ids=named)
def test_an_alert_says_how_urgent_it_is_what_it_means_and_where_help_is(rule: Rule) -> None:
    assert re.fullmatch(r"(ApiKey|RevokedApiKey|Gateway|Upstream|Tls)[A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"].endswith(f"/runbooks/{rule['alert']}.md")
    assert "{{" not in rule["annotations"]["summary"]


def test_every_alert_has_a_test_in_which_it_fires_for_one_and_not_for_another() -> None:
    firing: dict[str, set[str]] = {}
    kept_apart = set()
    for test in read(TESTS)["tests"]:
        for expected in test["alert_rule_test"]:
            for alert in expected.get("exp_alerts", []):
                name = expected["alertname"]
                firing.setdefault(name, set()).add(alert["exp_labels"]["severity"])
                others = [
                    series["series"]
                    for series in test["input_series"]
                    if not all(
                        f'{label}="{value}"' in series["series"]
                        for label, value in alert["exp_labels"].items()
                        if label != "severity"
                    )
                ]
                kept_apart |= {name} if others else set()
    wanted: dict[str, set[str]] = {}
    for rule in alerts():
        wanted.setdefault(rule["alert"], set()).add(rule["labels"]["severity"])
    assert firing == wanted
    assert kept_apart == set(wanted)


@needs_promtool
def test_the_documented_commands_set_the_namespace_and_where_runbooks_are(tmp_path: Path) -> None:
    for folder in (PROMETHEUS, GRAFANA):
        shutil.copytree(folder, tmp_path / "deploy" / folder.name)
    commands = blocks(HOW_TO, "sh")
    assert len(commands) == 2
    for command in commands:
        done = subprocess.run(
            ["bash", "-euc", command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    changed = tmp_path / "deploy"
    assert "SUCCESS" in promtool("test", "rules", changed / "prometheus" / TESTS.name)
    texts = [path.read_text("utf-8") for path in changed.rglob("*.[jy]*")]
    assert len(texts) == 6
    assert not [text for text in texts if "tollhouse_" in text or "example.com/runbooks" in text]
    assert "acme_requests_total" in (changed / "grafana" / "overview.json").read_text("utf-8")


def test_each_name_of_an_alert_is_a_rule_or_told_to_be_the_gateway_s_own() -> None:
    """The table of the how-to page says truly which alerts Prometheus has, and which the gateway itself."""
    page = HOW_TO.read_text("utf-8")
    table = page.partition("## Which alerts are where")[2].partition("## ")[0]
    rows = re.findall(r"^\| (`.+`) \| (yes|no)\b.* \| (yes|no)\b", table, re.MULTILINE)
    told = {name: there for names, there, _ in rows for name in re.findall(r"`(\w+)`", names)}
    own = {name: has for names, _, has in rows for name in re.findall(r"`(\w+)`", names)}
    assert {name for name, has in own.items() if has == "yes"} == {str(each) for each in RuleName}
    shipped = {rule["alert"] for rule in alerts()}
    assert {name for name, is_there in told.items() if is_there == "yes"} <= shipped
    assert {name for name, is_there in told.items() if is_there == "no"}.isdisjoint(shipped)
    assert {name for name in shipped if name.startswith(("ApiKey", "RevokedApiKey"))} <= set(told)
