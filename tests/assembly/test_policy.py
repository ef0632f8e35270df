from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.assembly import policy
from gateway.config.load import load
from gateway.domain.digest import Peppers
from gateway.domain.limits import Claim, Concurrency, Quota, Rate
from gateway.domain.paths import QUIRK_NAMES
from gateway.domain.policies import NO_RULES, KeyMatch, LifetimeRule, PolicyRules, RotationRule
from gateway.domain.routes import Route, RouteTable
from gateway.domain.templates import Template
from gateway.domain.timeouts import Timeouts
from tests.config.sample import PEPPER, UPSTREAM, loaded, write
from tests.key_samples import a_key, a_tenant

ROOT = Path(__file__).parent.parent.parent
SCOPES = "scopes: {atoms: ['jobs:read', 'jobs:write', 'team:write']}\n"


def route(folder: Path, text: str, *, more: str = "", upstream: str = UPSTREAM) -> Route:
    """Return the domain's route for one configured one, given as the inside of a flow mapping."""
    text = f"{upstream}{SCOPES}{more}routes: [{{name: r, upstream: u, {text}}}]\n"
    config = loaded(folder, text)
    (made,) = policy.routes(config, policy.plans(config))
    return made


# ---- keys


def test_every_pepper_is_active_and_the_current_one_makes_new_digests(tmp_path: Path) -> None:
    old, new = "o" * 32, "n" * 40
    path = write(tmp_path, f"version: 1\npeppers: {{current: p2, p1: {old}, p2: {new}}}\n")
    made = policy.peppers(load(path, {}))
    meant = Peppers("p2", {"p1": old.encode(), "p2": new.encode()})
    assert made.current == "p2"
    assert made.ids == ("p2", "p1")
    assert made.digests(b"token") == meant.digests(b"token")


def test_a_pepper_is_taken_byte_for_byte(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    assert policy.peppers(config).digest(b"t") == Peppers("p1", {"p1": PEPPER.encode()}).digest(
        b"t"
    )


def test_key_formats(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "key_formats:\n"
        "  jobs: {prefix: jh, environments: [live, test], random: 32}\n"
        "  plain: {prefix: pl, environments: [live], checksum: none}\n"
        "  old: {prefix: '', environments: [live], checksum: none}\n",
    )
    jobs, plain, old = policy.key_formats(config)
    assert (jobs.name, jobs.prefix, jobs.environments) == ("jobs", "jh", ("live", "test"))
    assert (jobs.random_length, jobs.has_checksum) == (32, True)
    assert (plain.random_length, plain.has_checksum) == (43, False)
    assert old.is_foreign


def test_scopes_and_bundles(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "scopes:\n"
        "  atoms: ['jobs:read', 'jobs:write', 'team:write']\n"
        "  bundles:\n"
        "    reader: ['*:read']\n"
        "    editor: {includes: [reader], add: ['jobs:write']}\n",
    )
    catalogue = policy.scopes(config)
    assert catalogue.granted(["editor"]) == {"jobs:read", "jobs:write"}
    assert catalogue.granted(["reader"]) == {"jobs:read"}
    assert catalogue.granted(["*"]) == {"jobs:read", "jobs:write", "team:write"}


def test_a_template_passes_on_everything_that_it_says(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        SCOPES + "plans: {free: {}}\n"
        "templates:\n"
        "  ci: {scopes: ['jobs:read'], environment: test, plan: free, ip_allowlist: [192.0.2.0/24],\n"
        "       expires_in: 90d, key_format: tollhouse, tags: [ci], metadata: {owner: ci},\n"
        "       ip_allowlist_mode: shadow, kind: multi_tenant}\n"
        "  bare: {}\n",
    )
    templates = policy.templates(config)
    assert templates.by_name["ci"] == Template(
        name="ci",
        scopes=("jobs:read",),
        format="tollhouse",
        environment="test",
        plan="free",
        ip_allowlist=("192.0.2.0/24",),
        tags=("ci",),
        expires_after_seconds=90 * 86400.0,
        metadata={"owner": "ci"},
        ip_allowlist_mode="shadow",
        kind="multi_tenant",
    )
    assert templates.by_name["bare"] == Template(
        name="bare", ip_allowlist_mode="enforce", kind="regular"
    )
    assert templates.default == ""


def test_policies_for_keys_pass_on_everything_that_they_say(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        SCOPES + "templates: {ci: {}}\n"
        "policies:\n"
        "  rotation: [{match: {scopes: ['*:write'], tags: [x], templates: [ci]}, every: 90d}, {every: 180d}]\n"
        "  expiry: [{lifetime_max: 30d, mode: shadow}, {match: {tags: [y]}, lifetime_max: 1d}]\n"
        "  rotation_grace: 0\n"
        "  reminders: [30d, 1d]\n",
    )
    day = 86400.0
    assert policy.key_policies(config) == PolicyRules(
        rotation=(
            RotationRule(
                match=KeyMatch(scopes=("*:write",), tags=("x",), templates=("ci",)),
                every_seconds=90 * day,
            ),
            RotationRule(every_seconds=180 * day),
        ),
        expiry=(
            LifetimeRule(seconds_max=30 * day, is_enforced=False),
            LifetimeRule(match=KeyMatch(tags=("y",)), seconds_max=day),
        ),
        rotation_grace_seconds=0.0,
        reminders=(30 * day, day),
    )


def test_without_policies_there_are_no_rules(tmp_path: Path) -> None:
    assert policy.key_policies(loaded(tmp_path, "")) == NO_RULES


def test_the_template_called_default_is_the_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, "templates: {default: {environment: live}}\n")
    assert policy.templates(config).default == "default"


def test_environment_aliases(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "environments: {live: {aliases: [production, prod]}, test: {aliases: [staging]}}\n",
    )
    assert policy.environment_aliases(config) == {
        "production": "live",
        "prod": "live",
        "staging": "test",
    }


# ---- limits


PLANS = (
    "plans:\n"
    "  pro:\n"
    "    rate: [{per_minute: 300, burst: 500}, {per_second: 10}, {per_hour: 9000}, {per_day: 99999}]\n"
    "    quota: {per_hour: 1000, per_day: 5000, per_month: 100000}\n"
    "    concurrency: 50\n"
    "    owners: [lineage, tenant]\n"
    "  one: {rate: {per_minute: 60}}\n"
    "  free: {}\n"
    "  shared: {concurrency: 9, owners: [route]}\n"
)


def test_every_limit_of_a_plan_becomes_a_rule(tmp_path: Path) -> None:
    pro = policy.plans(loaded(tmp_path, PLANS))["pro"]
    assert pro.owners == ("lineage", "tenant")
    assert set(pro.rules) == {
        Rate(name="minute", limit=300, window_seconds=60, burst=500),
        Rate(name="second", limit=10, window_seconds=1, burst=10),
        Rate(name="hour", limit=9000, window_seconds=3600, burst=9000),
        Rate(name="day", limit=99999, window_seconds=86400, burst=99999),
        Quota(name="hourly", limit=1000, period="hour"),
        Quota(name="daily", limit=5000, period="day"),
        Quota(name="monthly", limit=100000, period="month"),
        Concurrency(name="concurrency", limit=50),
    }


def test_a_plan_without_limits_has_no_rules(tmp_path: Path) -> None:
    plans = policy.plans(loaded(tmp_path, PLANS))
    assert plans["free"].rules == ()
    assert plans["one"].owners == ("lineage",)


def test_claims_name_their_owner_plan_and_rule(tmp_path: Path) -> None:
    plan = policy.plans(loaded(tmp_path, PLANS))["one"]
    assert policy.claims(plan, "lineage", "lin_a") == (
        Claim(bucket="lineage:lin_a:one:minute", policy="one/minute", rule=plan.rules[0]),
    )
    assert policy.claims(plan, "tenant", "ten_a") == ()
    assert policy.claims(None, "lineage", "lin_a") == ()


def test_a_plan_for_routes_only_is_for_no_caller(tmp_path: Path) -> None:
    assert policy.caller_plans(loaded(tmp_path, PLANS)) == {"pro", "one", "free"}


@pytest.mark.parametrize(
    ("of_environment", "of_key", "of_tenant", "meant"),
    [
        ("", "", "", ()),
        ("", "", "one", ("one",)),
        ("", "pro", "", ("pro",)),
        ("", "pro", "one", ("pro", "one")),
        ("", "one", "one", ("one",)),
        ("free", "pro", "one", ("free",)),
        ("free", "", "", ("free",)),
    ],
)
def test_the_plan_of_an_environment_comes_before_the_key_s_and_that_before_the_tenant_s(
    of_environment: str, of_key: str, of_tenant: str, meant: tuple[str, ...], tmp_path: Path
) -> None:
    config = loaded(
        tmp_path, f"{PLANS}environments: {{live: {{plan: '{of_environment}'}}, test: {{}}}}\n"
    )
    names = policy.plan_names(config, a_key(plan=of_key), a_tenant(plan=of_tenant))
    assert names == meant


def test_a_key_of_an_environment_that_left_the_config_is_on_no_plan_at_all(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="key_a belongs to environment 'dev'"):
        policy.plan_names(loaded(tmp_path, ""), a_key(environment="dev"), a_tenant())


# ---- routes


def test_a_route_says_as_little_as_it_can_and_is_closed(tmp_path: Path) -> None:
    made = route(tmp_path, "match: {path: /v1/jobs}")
    assert made == Route(name="r", pattern="/v1/jobs", upstream="u", body_bytes_max=10 * 2**20)
    assert made.needs_key


def test_a_route_passes_on_everything_that_it_says(tmp_path: Path) -> None:
    made = route(
        tmp_path,
        "match: {hosts: [api.test, '*.test'], methods: [GET, POST], prefix: /v1}, "
        "scopes: ['jobs:read', 'jobs:write'], environments: [live, test], plan: shared, "
        "path: {strip_prefix: /v1, allow: [encoded_slash, parameters]}, "
        "headers: {request: {set: {X-Team: jobs}, remove: [Cookie]}, "
        "response: {set: {X-Frame-Options: DENY}, remove: [Server]}}, "
        "body_bytes_max: 2MiB",
        more=PLANS,
    )
    shared = Concurrency(name="concurrency", limit=9)
    assert made == Route(
        name="r",
        pattern="/v1",
        kind="prefix",
        hosts=("api.test", "*.test"),
        methods=frozenset({"GET", "POST"}),
        scopes=("jobs:read", "jobs:write"),
        environments=frozenset({"live", "test"}),
        upstream="u",
        claims=(
            Claim(bucket="route:r:shared:concurrency", policy="shared/concurrency", rule=shared),
        ),
        allowed_quirks=QUIRK_NAMES["encoded_slash"] | QUIRK_NAMES["parameters"],
        strip_prefix="/v1",
        request_headers_set=((b"X-Team", b"jobs"),),
        request_headers_remove=frozenset({b"cookie", b"x-team"}),
        response_headers_set=((b"X-Frame-Options", b"DENY"),),
        response_headers_remove=frozenset({b"server", b"x-frame-options"}),
        body_bytes_max=2 * 2**20,
    )


@pytest.mark.parametrize(
    ("kind", "pattern"), [("path", "/a/{id}"), ("prefix", "/a"), ("regex", "/a/[0-9]+")]
)
def test_the_kind_of_a_pattern_is_the_one_that_was_given(
    kind: str, pattern: str, tmp_path: Path
) -> None:
    made = route(tmp_path, f"match: {{{kind}: '{pattern}'}}")
    assert (made.kind, made.pattern) == (kind, pattern)


def test_a_rewrite_is_passed_on(tmp_path: Path) -> None:
    made = route(tmp_path, "match: {path: '/a/{id}'}, path: {rewrite: '/b/{id}'}")
    assert made.rewrite == "/b/{id}"


def test_only_auth_none_makes_a_route_public(tmp_path: Path) -> None:
    assert not route(tmp_path, "match: {path: /a}, auth: none").needs_key
    assert route(tmp_path, "match: {path: /a}, auth: key").needs_key


def test_every_method_is_written_as_a_star(tmp_path: Path) -> None:
    assert route(tmp_path, "match: {path: /a, methods: ['*']}").methods == frozenset()


def test_the_allowlist_of_a_route(tmp_path: Path) -> None:
    made = route(
        tmp_path, "match: {path: /a}, ip_allowlist: {allow: [192.0.2.0/24, '2001:db8::1']}"
    )
    assert made.allowlist is not None
    assert made.allowlist.allows("192.0.2.9")
    assert made.allowlist.allows("2001:db8::1")
    assert not made.allowlist.allows("198.51.100.1")
    assert route(tmp_path, "match: {path: /a}, ip_allowlist: {allow: []}").allowlist is None


def test_introspection_is_a_handler_without_upstream(tmp_path: Path) -> None:
    config = loaded(tmp_path, "routes: [{name: me, match: {path: /me}, handler: introspect}]\n")
    (made,) = policy.routes(config, {})
    assert (made.handler, made.upstream, made.timeouts) == ("introspect", "", {})


SLOW = (
    "upstreams: {u: {targets: ['http://127.0.0.1:9000'], "
    "timeout: {connect: 1s, response_headers: 2s, idle: 3s, total: 4s}}}\n"
)


def test_the_timeouts_of_an_upstream(tmp_path: Path) -> None:
    section = loaded(tmp_path, SLOW).upstreams["u"]
    assert policy.upstream_timeouts(section) == Timeouts(
        connect_seconds=1, response_seconds=2, idle_seconds=3, total_seconds=4
    )


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ("connect: 9s", {"connect_seconds": 9.0}),
        ("response_headers: 9s", {"response_seconds": 9.0}),
        ("idle: 9s", {"idle_seconds": 9.0}),
        ("total: 9s", {"total_seconds": 9.0}),
        ("total: 0", {"total_seconds": 0.0}),
        ("idle: 8s, total: 9s", {"idle_seconds": 8.0, "total_seconds": 9.0}),
    ],
)
def test_a_route_changes_each_timeout_of_its_upstream_by_itself(
    given: str, changed: dict[str, float], tmp_path: Path
) -> None:
    made = route(tmp_path, f"match: {{path: /a}}, timeout: {{{given}}}", upstream=SLOW)
    base = Timeouts(connect_seconds=1, response_seconds=2, idle_seconds=3, total_seconds=4)
    assert made.timeouts == {"u": replace(base, **changed)}


def test_a_route_without_timeouts_takes_its_upstream_s(tmp_path: Path) -> None:
    assert route(tmp_path, "match: {path: /a}", upstream=SLOW).timeouts == {}


def test_a_route_changes_the_timeouts_of_whatever_upstream_serves_it(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "upstreams:\n"
        "  jobs: {targets: ['http://a'], timeout: {idle: 3s}}\n"
        "  sandbox: {targets: ['http://b'], timeout: {idle: 9s}}\n"
        "environments: {live: {}, test: {upstreams: {jobs: sandbox}}}\n"
        "routes: [{name: r, match: {path: /a}, upstream: jobs, timeout: {connect: 1s}}]\n",
    )
    (made,) = policy.routes(config, {})
    assert made.timeouts == {
        "jobs": Timeouts(connect_seconds=1, idle_seconds=3),
        "sandbox": Timeouts(connect_seconds=1, idle_seconds=9),
    }


# ---- what an environment may not call


DENYING = (
    UPSTREAM + "environments: {live: {}, test: {deny: ['POST /v1/jobs', '* /v1/team']}}\n"
    "routes:\n"
    "  - {name: list, match: {path: /v1/jobs, methods: [GET]}, upstream: u}\n"
    "  - {name: create, match: {path: /v1/jobs, methods: [POST]}, upstream: u}\n"
    "  - {name: team, match: {prefix: /v1/team}, upstream: u}\n"
    "  - {name: other, match: {path: /v1/other, methods: [POST]}, upstream: u}\n"
)


def test_what_an_environment_denies_is_barred_for_its_keys_alone(tmp_path: Path) -> None:
    assert policy.barred(loaded(tmp_path, DENYING)) == {("test", "create"), ("test", "team")}


def test_a_route_for_every_method_is_barred_whole(tmp_path: Path) -> None:
    text = (
        UPSTREAM + "environments: {live: {}, test: {deny: ['* /v1/echo']}}\n"
        "routes: [{name: echo, match: {path: /v1/echo}, upstream: u}]\n"
    )
    assert policy.barred(loaded(tmp_path, text)) == {("test", "echo")}


def test_without_denials_nothing_is_barred(tmp_path: Path) -> None:
    assert policy.barred(loaded(tmp_path, "")) == frozenset()


def test_the_shipped_configuration_compiles(tmp_path: Path) -> None:
    text = (ROOT / "config.yaml").read_text("utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pepper").write_text("0123456789abcdef" * 4)
    config = load(write(tmp_path, text), {})
    RouteTable(policy.routes(config, policy.plans(config)))
    assert ("dev", "interviews.create") in policy.barred(config)
