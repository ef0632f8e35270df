from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.assembly import generation as build
from gateway.assembly.upstreams import Builder
from gateway.config.model import Config
from gateway.control.deadlines import DeadlineWheel
from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Grant, Quota, Rate
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.limiters.memory import MemoryLimiter
from gateway.outbox import Outbox
from gateway.upstreams.dialer import Dialer
from gateway.upstreams.service import Service
from tests.certificates import authority, issue, trust
from tests.clock import FakeClock
from tests.config.sample import UPSTREAM, loaded
from tests.key_samples import a_key, a_tenant
from tests.pipeline.samples import claim, concurrency, made_fields


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[dict[str, Service]]:
    """Build the upstreams of a configuration; nothing is contacted."""
    loop = asyncio.get_running_loop()
    dialer = Dialer()
    builder = Builder(
        loop,
        DeadlineWheel(loop),
        Outbox(loop),
        dialer,
        Random(1).random,
        lambda _: None,
        Path("config.yaml"),
    )
    services = builder.services(config)
    yield services
    for service in services.values():
        service.close()
    await dialer.close()


# ---- upstreams


async def test_an_upstream_is_built_with_all_that_its_section_says(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "upstreams:\n"
        "  u:\n"
        "    targets: ['http://10.0.0.1:9000/base/', 'http://jobs.internal/base']\n"
        "    timeout: {connect: 1s, response_headers: 2s, idle: 3s, total: 4s}\n"
        "    idle_lifetime: 5s\n",
    )
    async with running(config) as services:
        service = services["u"]
        assert service.name == "u"
        assert service.base_path == b"/base"
        assert [target.label for target in service.targets] == ["10.0.0.1:9000", "jobs.internal:80"]
        for target in service.targets:
            assert target.timeouts.response_seconds == 2
            assert target.timeouts.total_seconds == 4
            assert target.idle_lifetime_seconds == 5


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("http+unix:/run/app.sock", "unix:/run/app.sock"),
        ("http+unix:/run/a#1?x.sock", "unix:/run/a#1?x.sock"),
        ("http://[2001:db8::1]:9000", "[2001:db8::1]:9000"),
        ("http://localhost", "localhost:80"),
    ],
)
async def test_a_target_is_where_its_url_says(target: str, label: str, tmp_path: Path) -> None:
    config = loaded(tmp_path, f"upstreams: {{u: {{targets: ['{target}']}}}}\n")
    async with running(config) as services:
        (made,) = services["u"].targets
        assert made.label == label
        assert services["u"].base_path == b""


@pytest.mark.parametrize(
    ("host", "target", "sent"),
    [
        ("preserve", "http://10.0.0.1:9000", b"api.test:8080"),
        ("upstream", "http://10.0.0.1:9000/base", b"10.0.0.1:9000"),
        ("upstream", "http+unix:/run/app.sock", b"localhost"),
        ("jobs.internal:81", "http://10.0.0.1:9000", b"jobs.internal:81"),
    ],
)
async def test_the_host_that_an_upstream_sees(
    host: str, target: str, sent: bytes, tmp_path: Path
) -> None:
    config = loaded(tmp_path, f"upstreams: {{u: {{targets: ['{target}'], host: '{host}'}}}}\n")
    async with running(config) as services:
        assert services["u"].host_for(b"api.test:8080") == sent


async def test_an_environment_may_choose_another_upstream(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "upstreams: {jobs: {targets: ['http://10.0.0.1']}, sandbox: {targets: ['http://10.0.0.2']}}\n"
        "environments: {live: {}, test: {upstreams: {jobs: sandbox}}}\n",
    )
    async with running(config) as services:
        choice = build.upstream_choice(config, services)
        assert choice["jobs", "live"] is services["jobs"]
        assert choice["jobs", "test"] is services["sandbox"]
        assert choice["jobs", ""] is services["jobs"]
        assert choice["sandbox", "test"] is services["sandbox"]
        assert len(choice) == 6


# ---- the border


def crossed(folder: Path, text: str, *fields: tuple[str, str]) -> bytes:
    border = build.border(loaded(folder, text))
    head = RequestHead(method="GET", target=b"/", path="/", fields=made_fields(fields))
    return border.request_fields(head, Route(name="r", pattern="/"))


def test_no_client_can_send_an_identity_in_any_spelling(tmp_path: Path) -> None:
    text = "environments: {live: {forward: {X-Stage: live}}, test: {}}\n"
    for name in (
        *("X-Gateway-Key-Id", "x_gateway_tenant", "X-Gateway.Scopes", "X-Gateway-Anything"),
        *("X-Stage", "x_stage", "Authorization"),
    ):
        assert b"forged" not in crossed(tmp_path, text, (name, "forged"))


def test_renamed_identity_headers_are_ours_too(tmp_path: Path) -> None:
    text = "identity_headers: {prefix: '', tenant: X-Workspace, key_id: ''}\n"
    sent = crossed(tmp_path, text, ("X-Workspace", "forged"), ("X-Gateway-Odd", "kept"))
    assert b"forged" not in sent
    assert b"X-Gateway-Odd: kept" in sent


def test_the_client_s_key_is_passed_on_only_by_name(tmp_path: Path) -> None:
    text = "identity_headers: {forward_authorization: true}\n"
    assert b"Bearer" in crossed(tmp_path, text, ("Authorization", "Bearer x"))
    assert b"Bearer" not in crossed(tmp_path, "", ("Authorization", "Bearer x"))


def test_the_gateway_names_itself_as_configured(tmp_path: Path) -> None:
    assert b"Via: 1.1 edge-7\r\n" in crossed(tmp_path, "forwarding: {via: edge-7}\n")


# ---- voices


VOICES = (
    UPSTREAM + "dialect: {errors: jobhive, rate_headers: [jobhive, draft]}\n"
    "routes:\n"
    "  - {name: usual, match: {path: /a}, upstream: u}\n"
    "  - {name: other, match: {path: /b}, upstream: u, dialect: {errors: problem}}\n"
    "  - {name: quiet, match: {path: /c}, upstream: u, dialect: {rate_headers: ['off']}}\n"
)


def test_each_route_speaks_as_configured_and_unmatched_requests_as_the_gateway(
    tmp_path: Path,
) -> None:
    voices = build.voices(loaded(tmp_path, VOICES))
    assert {name: voice.dialect.name for name, voice in voices.items()} == {
        "": "jobhive",
        "usual": "jobhive",
        "other": "problem",
        "quiet": "jobhive",
    }
    assert b"x-ratelimit-limit" in voices["usual"].overwritten
    assert b"ratelimit-policy" in voices["other"].overwritten
    assert voices["quiet"].overwritten == frozenset()
    assert voices["usual"] is voices[""]


def test_a_dialect_knows_the_realm_and_where_help_is(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        "dialect: {realm: jobs, docs_url: 'https://docs.test', support_url: 'https://help.test'}\n",
    )
    answer = build.dialect(config, "problem").render(
        Denial(reason=Reason.MISSING_CREDENTIALS), b"req_1", 0.0
    )
    assert b'realm="jobs"' in answer.block
    assert b"https://docs.test/reasons/missing_credentials" in answer.body


# ---- addresses


def test_addresses_are_found_as_configured(tmp_path: Path) -> None:
    rules = build.address_rules(
        loaded(
            tmp_path,
            "client_address: {trusted_proxies: [10.0.0.0/8], ipv6_prefix: 56}\n"
            "forwarding: {forwarded: true, traces_from: proxies}\n",
        )
    )
    head = RequestHead(
        method="GET", target=b"/", path="/", fields=made_fields([("X-Forwarded-For", "192.0.2.7")])
    )
    assert rules.resolver.resolve("10.0.0.1", head).address == "192.0.2.7"
    assert rules.resolver.resolve("198.51.100.1", head).address == "198.51.100.1"
    assert rules.ipv6_prefix == 56
    assert rules.sends_forwarded
    assert rules.traces_from == "proxies"


def test_without_declared_proxies_nobody_is_believed(tmp_path: Path) -> None:
    rules = build.address_rules(loaded(tmp_path, ""))
    head = RequestHead(
        method="GET", target=b"/", path="/", fields=made_fields([("X-Forwarded-For", "192.0.2.7")])
    )
    assert rules.resolver.resolve("127.0.0.1", head).address == "127.0.0.1"
    assert not rules.sends_forwarded
    assert rules.traces_from == "everybody"


def test_where_routes_have_hosts_no_proxy_tells_upstreams_of_another_one(tmp_path: Path) -> None:
    """The route in HEAD is for every host."""
    assert build.address_rules(loaded(tmp_path, "")).may_rename_host
    hosted = "routes: [{name: a, match: {hosts: [a.test], path: /a}, upstream: u}]\n"
    upstream = "upstreams: {u: {targets: ['http://127.0.0.1:1']}}\n"
    folder = tmp_path / "hosted"
    folder.mkdir()
    assert not build.address_rules(loaded(folder, hosted + upstream)).may_rename_host


# ---- introspection


PLANS = "plans: {small: {}, big: {}, free: {}}\nenvironments: {live: {}, test: {plan: free}}\n"


def told(folder: Path, key: BoundKey, grant: Grant | None = None, name: str = "problem") -> Any:
    render = build.introspection(loaded(folder, PLANS), FakeClock())
    return json.loads(render(key, grant, name))


def key(plan: str = "", tenant_plan: str = "", environment: str = "live") -> BoundKey:
    return BoundKey(
        record=a_key(plan=plan, environment=environment, name="ci"),
        tenant=a_tenant(plan=tenant_plan, name="Acme"),
        scopes=frozenset({"jobs:write", "jobs:read"}),
        allowlists=(),
        claims=(),
        identity=b"",
    )


def test_a_key_is_told_its_scopes_in_order(tmp_path: Path) -> None:
    assert told(tmp_path, key())["scopes"] == ["jobs:read", "jobs:write"]


@pytest.mark.parametrize(
    ("of_key", "of_tenant", "environment", "meant"),
    [
        ("big", "small", "live", "big"),
        ("", "small", "live", "small"),
        ("big", "small", "test", "free"),
    ],
)
def test_a_key_is_told_the_plan_that_limits_it(
    of_key: str, of_tenant: str, environment: str, meant: str, tmp_path: Path
) -> None:
    assert f'"{meant}"' in json.dumps(told(tmp_path, key(of_key, of_tenant, environment)))


def test_a_key_is_told_what_it_drew(tmp_path: Path) -> None:
    rules = (
        claim(Rate(name="minute", limit=300, window_seconds=60, burst=300)),
        claim(Quota(name="monthly", limit=1000, period="month")),
        concurrency(5),
    )
    limiter = MemoryLimiter(FakeClock())
    limiter.acquire(rules)
    answer = told(tmp_path, key(), limiter.acquire(rules), "jobhive")
    assert answer["data"]["rate_limit"] == {"requests_per_minute": 300, "current_usage": 2}


@pytest.mark.parametrize("name", ["problem", "hirepanda", "jobhive", "instaview", "instaview_nest"])
def test_every_dialect_that_can_be_configured_can_introspect(name: str, tmp_path: Path) -> None:
    assert told(tmp_path, key(), None, name)


def test_no_introspection_tells_a_digest(tmp_path: Path) -> None:
    subject = key()
    assert subject.record.digest.hex() not in json.dumps(told(tmp_path, subject))


TLS = "tls: {certificates: [{certificate: a.pem, key: a.key}]"


@pytest.fixture
def pki(tmp_path: Path) -> None:
    ca = authority()
    issue(tmp_path, ca, "a.test", file="a")
    trust(tmp_path, ca)


@pytest.mark.usefixtures("pki")
def test_strict_transport_security_is_a_line_of_every_voice(tmp_path: Path) -> None:
    hsts = "strict_transport_security: {max_age: 90d}"
    config = loaded(
        tmp_path,
        f"listeners: {{public: {{{TLS}, {hsts}}}}}}}\n" + UPSTREAM + "routes:\n"
        "  - {name: quiet, match: {path: /q}, upstream: u, dialect: {rate_headers: ['off']}}\n",
    )
    for voice in build.voices(config).values():
        assert voice.lines == b"Strict-Transport-Security: max-age=7776000\r\n"
        assert b"strict-transport-security" in voice.overwritten


@pytest.mark.usefixtures("pki")
@pytest.mark.parametrize("text", ["", f"listeners: {{public: {{{TLS}}}}}}}\n"])
def test_without_it_nothing_is_sent(tmp_path: Path, text: str) -> None:
    voice = build.voices(loaded(tmp_path, text))[""]
    assert voice.lines == b""
    assert b"strict-transport-security" not in voice.overwritten


@pytest.mark.usefixtures("pki")
def test_headers_of_client_certificates_are_stripped_from_requests(tmp_path: Path) -> None:
    clients = "client_certificates: {mode: optional, ca: ca.pem}"
    config = loaded(
        tmp_path,
        f"listeners: {{public: {{{TLS}, {clients}}}}}}}\n"
        "identity_headers: {prefix: '', certificate_subject: X-Subject, "
        "certificate_fingerprint: X-Print}\n",
    )
    route = Route(name="r", pattern="/r", upstream="u")
    fields = made_fields([("x-subject", "a"), ("X_Print", "b"), ("X-Other", "c")])
    asked = RequestHead(method="GET", target=b"/r", path="/r", fields=fields)
    lines = build.border(config).request_fields(asked, route)
    assert b"X-Other: c" in lines
    assert b"subject" not in lines.lower()
    assert b"print" not in lines.lower()
