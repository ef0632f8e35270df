"""Two gateways, one Redis: a limit is one limit, and what becomes of it when Redis goes away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from tests.e2e.crew import admin
from tests.e2e.process import Running, running, write_config
from tests.e2e.waiting import eventually
from tests.redis_server import Server, own_server

PLANS = """
  shared:
    rate: {per_day: 60, burst: 60}
    quota: {per_day: 1000}
  roomy:
    rate: {per_day: 400}
    quota: {per_day: 1000}
  narrow:
    concurrency: 1
"""
PATH = "/v1/account/profile"
SLOW = "/v1/events"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with own_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Pair(NamedTuple):
    """Two gateways that know the same keys, and the secrets of some, called by their plans."""

    gateways: tuple[Running, Running]
    shared: str
    roomy: str
    narrow: str


def configured(folder: Path, upstream: str, redis: Server, *more: str, workers: int = 1) -> str:
    """Return a configuration whose limits are in `redis`, with a namespace of its own for each test."""
    text = write_config(folder, upstream).read_text()
    settings = [f"url: {redis.url}", "retry: 100ms", "timeout: 2s", *more]
    changes = {
        "\n  unlimited: {}\n": f"\n  unlimited: {{}}{PLANS}",
        '  #url: ""\n  # exact asks': "\n".join(f"  {line}" for line in settings)
        + "\n  # exact asks",
        "#workers: 1": f"workers: {workers}",
    }
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def minted(gateway: Running, plan: str) -> str:
    wish = {"tenant_id": "acme", "name": plan, "environment": "live", "scopes": ["*"], "plan": plan}
    secret: str = admin(gateway, "POST", "/keys", wish, 201)["secret"]
    return secret


@contextmanager
def pair(
    folder: Path, upstream: str, redis: Server, *more: str, workers: int = 1
) -> Iterator[Pair]:
    """Run two gateways: the second begins with a copy of the store of the first."""
    one, other = folder / "one", folder / "other"
    one.mkdir()
    text = configured(one, upstream, redis, *more, workers=workers)
    with running(one, upstream, text) as first:
        admin(first, "POST", "/tenants", {"tenant_id": "acme", "name": "Acme"}, 201)
        secrets = [minted(first, plan) for plan in ("shared", "roomy", "narrow")]
    shutil.copytree(one, other, ignore=shutil.ignore_patterns("*.sock", "*.log"))
    with ExitStack() as stack:
        gateways = tuple(
            stack.enter_context(running(each, upstream, text)) for each in (one, other)
        )
        yield Pair((gateways[0], gateways[1]), *secrets)


def asked(gateway: Running, secret: str, times: int) -> list[int]:
    """Ask one after the other on one connection; return the statuses."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {secret}"
        return [session.get(gateway.url + PATH, timeout=30).status_code for _ in range(times)]


def rushed(both: Pair, secret: str, times: int) -> list[int]:
    """Ask both gateways at once, on four connections each; return all statuses."""
    with ThreadPoolExecutor(8) as threads:
        rounds = [
            threads.submit(asked, gateway, secret, times)
            for gateway in both.gateways
            for _ in range(4)
        ]
        return [status for each in rounds for status in each.result()]


def metric(gateway: Running, name: str) -> float:
    text = requests.get(f"http://{gateway.metrics}/metrics", timeout=30).text
    found = re.findall(rf"^tollhouse_{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[0]) if found else 0.0


def logged(gateway: Running, words: str) -> int:
    return sum(words in line for line in gateway.log.read_text().splitlines())


@pytest.mark.slow
def test_an_exact_limit_holds_exactly_over_two_gateways(
    tmp_path: Path, demo_upstream: str, redis: Server
) -> None:
    with pair(tmp_path, demo_upstream, redis, "prefix: exact") as both:
        statuses = rushed(both, both.shared, 30)
        assert statuses.count(200) == 60
        assert statuses.count(429) == 240 - 60
        assert [metric(each, "limiter_up") for each in both.gateways] == [1.0, 1.0]
        answer = requests.get(
            both.gateways[0].url + PATH,
            headers={"Authorization": f"Bearer {both.shared}"},
            timeout=30,
        )
        assert answer.status_code == 429
        wait = int(answer.headers["Retry-After"])
        assert 1300 < wait <= 1440  # a sixtieth of a day, less what has passed


@pytest.mark.slow
def test_an_exact_limit_holds_exactly_over_the_workers_of_two_gateways(
    tmp_path: Path, demo_upstream: str, redis: Server
) -> None:
    with pair(tmp_path, demo_upstream, redis, "prefix: workers", workers=2) as both:
        statuses = rushed(both, both.shared, 30)
        assert statuses.count(200) == 60
        assert len(redis.client.client_list()) >= 5  # each worker by itself, and we


@pytest.mark.slow
def test_a_leased_limit_holds_within_its_bound_over_two_gateways(
    tmp_path: Path, demo_upstream: str, redis: Server
) -> None:
    """What one lease of a rate of 400 a day lets in is less than one request: the limit holds to the last one."""
    with pair(tmp_path, demo_upstream, redis, "prefix: leased", "mode: leased") as both:
        before = redis.calls("evalsha")
        statuses = rushed(both, both.roomy, 150)
        calls = redis.calls("evalsha") - before
        assert statuses.count(200) in (400, 401)
        assert calls < len(statuses)


@pytest.mark.slow
def test_without_redis_each_gateway_lets_in_its_share_says_so_once_and_goes_back(
    tmp_path: Path, demo_upstream: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with own_server(tmp_path_factory.mktemp("mortal")) as redis:
        more = "prefix: outage", "local_share: 0.25"
        with pair(tmp_path, demo_upstream, redis, *more) as both:
            first = both.gateways[0]
            assert asked(first, both.shared, 5) == [200] * 5
            redis.kill()
            statuses = rushed(both, both.shared, 20)
            assert statuses.count(200) == 2 * 15
            assert set(statuses) == {200, 429}
            for gateway in both.gateways:
                degraded = 'ratelimit_decisions_total{outcome="degraded",policy="shared/day"}'
                assert metric(gateway, degraded) == 15
                assert metric(gateway, "limiter_up") == 0
                assert logged(gateway, "does not count") == 1
            assert requests.get(f"http://{first.metrics}/readyz", timeout=30).status_code == 200
            redis.start()
            for gateway in both.gateways:
                eventually(lambda gateway=gateway: metric(gateway, "limiter_up") == 1)  # type: ignore[misc]
                assert logged(gateway, "again, after") == 1
            # A Redis that starts anew is empty, but what was let in meanwhile is charged to it.
            assert rushed(both, both.shared, 20).count(200) == 60 - 30


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_deny_answers_503_while_redis_is_away_and_nothing_without_a_limit_is_concerned(
    tmp_path: Path, demo_upstream: str, tmp_path_factory: pytest.TempPathFactory, workers: int
) -> None:
    """It is taken by a reload, too, in every process."""
    with own_server(tmp_path_factory.mktemp("mortal")) as redis:
        text = configured(tmp_path, demo_upstream, redis, workers=workers)
        with running(tmp_path, demo_upstream, text) as gateway:
            admin(gateway, "POST", "/tenants", {"tenant_id": "acme", "name": "Acme"}, 201)
            limited, free = minted(gateway, "shared"), minted(gateway, "unlimited")
            redis.kill()
            assert asked(gateway, limited, 3) == [200] * 3
            denying = text.replace("  #limits: local", "  limits: deny")
            (gateway.folder / "config.yaml").write_text(denying)
            gateway.cli("reload")
            assert {status for _ in range(4) for status in asked(gateway, limited, 3)} == {503}
            assert asked(gateway, free, 3) == [200] * 3
            redis.start()
            eventually(lambda: asked(gateway, limited, 8) == [200] * 8)


@pytest.mark.slow
def test_what_a_killed_gateway_had_in_flight_does_not_count_for_long(
    tmp_path: Path, demo_upstream: str, redis: Server
) -> None:
    more = "prefix: killed", "concurrency_timeout: 2s"
    with pair(tmp_path, demo_upstream, redis, *more) as both:
        first, second = both.gateways
        fields = {"Authorization": f"Bearer {both.narrow}"}
        going_on = requests.get(first.url + SLOW, headers=fields, stream=True, timeout=30)
        assert going_on.status_code == 200
        assert asked(second, both.narrow, 1) == [429]
        first.process.kill()
        first.process.wait(10)
        going_on.close()
        eventually(lambda: asked(second, both.narrow, 1) == [200])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_explain_says_that_it_does_not_know_how_buckets_stand(
    tmp_path: Path, demo_upstream: str, redis: Server, workers: int
) -> None:
    text = configured(tmp_path, demo_upstream, redis, workers=workers)
    with running(tmp_path, demo_upstream, text) as gateway:
        admin(gateway, "POST", "/tenants", {"tenant_id": "acme", "name": "Acme"}, 201)
        wish = {"tenant_id": "acme", "name": "k", "environment": "live", "plan": "shared"}
        made = admin(gateway, "POST", "/keys", wish | {"scopes": ["*"]}, 201)
        asked = {"url": PATH, "key_id": made["key"]["key_id"], "client_address": "127.0.0.1"}
        told = admin(gateway, "POST", "/explain", asked)
        limits = next(each["facts"] for each in told["steps"] if each["step"] == "limits")
        assert limits["is_known"] is False
