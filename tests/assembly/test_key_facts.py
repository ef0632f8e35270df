"""What the configuration says about keys: who is limited, and what routes ask for."""

from __future__ import annotations

from pathlib import Path

from gateway.assembly.key_facts import ConfiguredFacts
from tests.config.sample import UPSTREAM, loaded
from tests.key_samples import a_key, a_tenant

CONFIG = (
    UPSTREAM + "scopes: {atoms: ['jobs:read', 'jobs:write']}\n"
    "environments: {live: {}, test: {plan: narrow}}\n"
    "plans:\n"
    "  narrow: {rate: {per_minute: 5}}\n"
    "  none: {}\n"
    "  trial: {rate: {per_minute: 5}, mode: shadow}\n"
    "  of_routes: {rate: {per_minute: 5}, owners: [route]}\n"
    "routes:\n"
    "  - {name: list, match: {methods: [GET], path: /jobs}, scopes: ['jobs:read'], upstream: u}\n"
    "  - {name: post, match: {methods: [POST], path: /jobs}, scopes: ['jobs:write'], scopes_mode: shadow,"
    " upstream: u}\n"
    "  - {name: open, match: {path: /open}, auth: none, upstream: u}\n"
)


def test_a_key_is_limited_by_its_own_plan_that_of_its_tenant_or_of_its_environment(
    tmp_path: Path,
) -> None:
    config = loaded(tmp_path, CONFIG)
    facts = ConfiguredFacts(lambda: config)
    free, narrow = a_tenant(), a_tenant(plan="narrow")
    assert not facts.is_limited(a_key(), free)
    assert facts.is_limited(a_key(plan="narrow"), free)
    assert facts.is_limited(a_key(), narrow)
    assert facts.is_limited(a_key(environment="test"), free)


def test_a_plan_that_refuses_nothing_limits_nobody(tmp_path: Path) -> None:
    config = loaded(tmp_path, CONFIG)
    facts = ConfiguredFacts(lambda: config)
    for plan in ("none", "trial", "of_routes", "left"):
        assert not facts.is_limited(a_key(plan=plan), a_tenant())


def test_a_key_of_an_environment_that_left_cannot_be_used_and_needs_no_limit(
    tmp_path: Path,
) -> None:
    config = loaded(tmp_path, CONFIG)
    assert ConfiguredFacts(lambda: config).is_limited(a_key(environment="gone"), a_tenant())


def test_scopes_that_a_route_would_only_ask_for_are_scopes_that_are_used(tmp_path: Path) -> None:
    config = loaded(tmp_path, CONFIG)
    assert ConfiguredFacts(lambda: config).scopes_of_routes() == {
        "list": ("jobs:read",),
        "post": ("jobs:write",),
        "open": (),
    }


def test_another_configuration_counts_at_once(tmp_path: Path) -> None:
    configs = [loaded(tmp_path, CONFIG)]
    facts = ConfiguredFacts(lambda: configs[-1])
    key = a_key(plan="narrow")
    assert facts.is_limited(key, a_tenant())
    configs.append(
        loaded(tmp_path, CONFIG.replace("narrow: {rate: {per_minute: 5}}", "narrow: {}"))
    )
    assert not facts.is_limited(key, a_tenant())
