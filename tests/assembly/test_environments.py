"""JH-7: what keys of a development environment can reach, by construction."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from gateway.assembly import generation as build
from gateway.assembly import policy
from gateway.assembly.binder import Binder
from gateway.config.load import check
from gateway.config.model import Config
from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey
from gateway.domain.routes import Match
from gateway.pipeline.authorize import authorize
from gateway.pipeline.values import Permit, Principal
from tests.config.sample import HEAD, NOTHING, loaded, write
from tests.key_samples import a_key, a_tenant
from tests.pipeline.samples import head

CONFIG = """
environments:
  live: {}
  dev:
    upstreams: {jobs: jobs-sandbox, mail: jobs-sandbox}
    billable: false
    plan: unlimited
    forward: {X-Environment: dev}
    deny: ["POST /v1/interviews", "* /v1/billing"]
key_formats: {tollhouse: {prefix: sk, environments: [live, dev]}}
plans: {unlimited: {}, pro: {rate: {per_minute: 1}}}
upstreams:
  jobs: {targets: ['http://127.0.0.1:9000']}
  mail: {targets: ['http://127.0.0.1:9001']}
  jobs-sandbox: {targets: ['http://127.0.0.1:9002']}
routes:
  - {name: jobs, match: {path: /v1/jobs}, upstream: jobs}
  - {name: mail, match: {path: /v1/mail}, upstream: mail}
  - {name: interviews.list, match: {methods: [GET], path: /v1/interviews}, upstream: jobs}
  - {name: interviews.create, match: {methods: [POST], path: /v1/interviews}, upstream: jobs}
  - {name: billing, match: {path: /v1/billing}, upstream: jobs}
"""


def key_of(config: Config, environment: str) -> BoundKey:
    binder = Binder(config, policy.plans(config), policy.scopes(config))
    return binder(a_key(environment=environment, plan="pro"), a_tenant(plan="pro"))


def reached(config: Config, environment: str) -> dict[str, str | Reason]:
    """Return the upstream that answers each route, or why none does, for a key of this environment."""
    key, barred = key_of(config, environment), policy.barred(config)
    services = {name: cast("Any", name) for name in config.upstreams}
    choice = build.upstream_choice(config, services)
    found: dict[str, str | Reason] = {}
    for route in policy.routes(config, policy.plans(config)):
        principal = Principal(Match(head(route.pattern), route, {}), key)
        permit = authorize(principal, "192.0.2.7", barred)
        if isinstance(permit, Permit):
            found[route.name] = cast("Any", choice[route.upstream, environment])
        else:
            assert isinstance(permit, Denial)
            found[route.name] = permit.reason
    return found


def test_jh_7_a_dev_key_cannot_reach_a_production_upstream_on_any_route(tmp_path: Path) -> None:
    config = loaded(tmp_path, CONFIG)
    dev = reached(config, "dev")
    assert dev == {
        "jobs": "jobs-sandbox",
        "mail": "jobs-sandbox",
        "interviews.list": "jobs-sandbox",
        "interviews.create": Reason.ENV_MISMATCH,
        "billing": Reason.ENV_MISMATCH,
    }
    assert reached(config, "live") == {
        "jobs": "jobs",
        "mail": "mail",
        "interviews.list": "jobs",
        "interviews.create": "jobs",
        "billing": "jobs",
    }


def test_jh_7_a_dev_key_is_unlimited_not_billed_and_told_apart(tmp_path: Path) -> None:
    config = loaded(tmp_path, CONFIG)
    dev, live = key_of(config, "dev"), key_of(config, "live")
    assert (dev.claims, dev.is_billable) == ((), False)
    assert b"X-Environment: dev\r\n" in dev.identity
    assert live.claims
    assert live.is_billable
    assert b"X-Environment" not in live.identity


@pytest.mark.parametrize(
    "denied", ["POST /v1/interview", "DELETE /v1/interviews", "POST /v1/interviews/"]
)
def test_jh_7_a_denial_that_would_deny_nothing_is_a_mistake(tmp_path: Path, denied: str) -> None:
    text = CONFIG.replace("POST /v1/interviews", denied)
    config, found = check(write(tmp_path, HEAD + text), NOTHING)
    assert config is None
    assert any("denies nothing" in problem.message for problem in found)
