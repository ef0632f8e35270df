"""Names that are used are declared."""

from __future__ import annotations

from pathlib import Path

from tests.config.sample import UPSTREAM, said


def test_undeclared_names_are_told_wherever_they_are_used(tmp_path: Path) -> None:
    text = (
        UPSTREAM
        + """
plans: {standard: {}}
environments: {live: {plan: standrad, upstreams: {v: u, u: w}}}
key_formats: {f: {prefix: sk, environments: [live, dev]}}
templates: {t: {environment: test, plan: x, key_format: g}}
routes:
  - {name: a, match: {path: /a}, upstream: uu, plan: y, environments: [prod]}
bootstrap:
  tenants: [{id: t, name: T, plan: z, default_template: tt}]
policies: {rotation: [{match: {templates: [t, s]}, every: 1d}], expiry: [{match: {templates: [r]}, lifetime_max: 1d}]}
"""
    )
    assert said(tmp_path, text) == [
        "environments.live.plan: the plan 'standrad' is not declared in `plans` "
        "(did you mean 'standard'?)",
        "environments.live.upstreams.v: the upstream 'v' is not declared in `upstreams` "
        "(known here: u)",
        "environments.live.upstreams.u: the upstream 'w' is not declared in `upstreams` "
        "(known here: u)",
        "key_formats.f.environments[1]: the environment 'dev' is not declared in `environments` "
        "(known here: live)",
        "templates.t.environment: the environment 'test' is not declared in `environments` "
        "(known here: live)",
        "templates.t.plan: the plan 'x' is not declared in `plans` (known here: standard)",
        "templates.t.key_format: the key format 'g' is not declared in `key_formats` "
        "(known here: f)",
        "routes[0].upstream: the upstream 'uu' is not declared in `upstreams` (did you mean 'u'?)",
        "routes[0].plan: the plan 'y' is not declared in `plans` (known here: standard)",
        "routes[0].environments[0]: the environment 'prod' is not declared in `environments` "
        "(known here: live)",
        "bootstrap.tenants[0].plan: the plan 'z' is not declared in `plans` (known here: standard)",
        "bootstrap.tenants[0].default_template: the template 'tt' is not declared in `templates` "
        "(did you mean 't'?)",
        "policies.rotation[0].match.templates[1]: the template 's' is not declared in `templates` "
        "(known here: t)",
        "policies.expiry[0].match.templates[0]: the template 'r' is not declared in `templates` "
        "(known here: t)",
    ]


def test_empty_name_means_none(tmp_path: Path) -> None:
    assert said(tmp_path, "templates: {t: {environment: '', plan: '', key_format: ''}}") == []
