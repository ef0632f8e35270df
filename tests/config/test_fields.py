"""Every key of the model, as the reference and the hints see it."""

from __future__ import annotations

from gateway.config.fields import keys, section_at, show
from gateway.config.model import AccessLog, Config, Environment, Match, Plan, RateLimit, Upstream

ALL = {key.path: key for key in keys()}


def test_every_key_has_a_description_and_a_type() -> None:
    assert len(ALL) > 150
    for key in ALL.values():
        assert key.description, key.path
        assert key.type, key.path
        assert "\n" not in key.description
        assert key.type != "any", key.path


def test_paths_show_names_and_lists() -> None:
    for path in (
        "version",
        "listeners.public.bind",
        "peppers.<name>",
        "plans.<name>.rate.per_minute",
        "scopes.bundles.<name>.includes",
        "routes[].match.path",
        "bootstrap.keys[].hash",
    ):
        assert path in ALL


def test_defaults_are_shown_as_yaml() -> None:
    assert ALL["listeners.public.bind"].default == "127.0.0.1:8080"
    assert ALL["listeners.public.proxy_protocol"].default == "false"
    assert ALL["listeners.public.head_timeout"].default == "10"
    assert ALL["plans.<name>.owners"].default == "[lineage]"
    assert ALL["plans.<name>.concurrency"].default == "null"
    assert ALL["routes[].match.methods"].default == '["*"]'
    assert ALL["listeners.admin.token"].default == '""'
    assert ALL["environments"].default == "{live: {}, test: {billable: false}}"
    assert ALL["routes[].name"].default == ""


def test_sockets_need_a_restart_and_secrets_and_routes_do_not() -> None:
    assert ALL["listeners.public.bind"].applies == "restart"
    assert ALL["peppers.<name>"].applies == "hot"
    assert ALL["version"].applies == "restart"
    assert ALL["routes[].scopes"].applies == "hot"
    assert ALL["plans.<name>.rate"].applies == "hot"


def test_secrets_are_called_so() -> None:
    assert {path for path, key in ALL.items() if key.type.startswith("secret")} == {
        "channels.<name>.email.password",
        "channels.<name>.slack.url",
        "channels.<name>.webhook.previous_secret",
        "channels.<name>.webhook.secret",
        "channels.<name>.webhook.url",
        "limits.sentinel_password",
        "listeners.admin.token",
        "store.url",
        "store.session_url",
        "peppers.<name>",
    }


def test_section_is_found_by_the_path_of_a_value() -> None:
    assert section_at(()) is Config
    assert section_at(("upstreams", "u")) is Upstream
    assert section_at(("routes", 3, "match")) is Match
    assert section_at(("plans", "p", "rate", 0)) is RateLimit
    assert section_at(("plans", "p")) is Plan
    assert section_at(("environments", "live")) is Environment
    assert section_at(("telemetry", "access_log")) is AccessLog
    assert section_at(("telemetry", "nothing")) is None
    assert section_at(("scopes", "atoms", 0)) is None
    assert section_at(("version", "x", "y")) is None


def test_text_is_quoted_where_yaml_needs_it() -> None:
    assert show("-") == '"-"'
    assert show("off") == "off"
    assert show({"a": (1, 2.5)}) == "{a: [1, 2.5]}"
