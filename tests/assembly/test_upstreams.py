"""Upstreams as the configuration means them, and their state where operators look."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.assembly.upstreams import settings
from gateway.domain.affinity import Affinity
from gateway.domain.timeouts import Timeouts
from gateway.upstreams.breaker import BreakerRules
from gateway.upstreams.health import EjectionRules
from gateway.upstreams.settings import RetryRules, Settings
from tests.assembly.serving import ask, serving
from tests.config.sample import loaded


def settings_of(folder: Path, rest: str, targets: str = "'http://a'") -> Settings:
    config = loaded(folder, f"upstreams: {{u: {{targets: [{targets}], {rest}}}}}\n")
    return settings(config.upstreams["u"])


def test_defaults_of_the_configuration_are_those_of_the_room(tmp_path: Path) -> None:
    assert settings_of(tmp_path, "") == Settings(
        timeouts=Timeouts(),
        retry=RetryRules(causes=frozenset({"reset", "status"})),
        breaker_statuses=frozenset({502, 503, 504}),
    )


def test_every_key_reaches_its_rule(tmp_path: Path) -> None:
    made = settings_of(
        tmp_path,
        "balance: hash, affinity: {by: header, header: X-Room, load_max: 1.5},"
        "timeout: {connect: 1s}, host: other.test,"
        "retry: {attempts: 3, on: [timeout, 503], budget: 0.1, budget_per_second_min: 5},"
        "health: {panic: refuse, passive: {failures: 2, statuses: [500], ejection: 5s,"
        " ejection_max: 50s, share_max: 0.5}},"
        "breaker: {error_ratio: 0.25, statuses: [500], window: 20s, min_requests: 7, open: 3s, probes: 4}",
        "'http://a/base'",
    )
    assert made == Settings(
        timeouts=Timeouts(connect_seconds=1.0),
        host=b"other.test",
        base_path=b"/base",
        balance="hash",
        affinity=Affinity(by="header", header=b"x-room"),
        load_max=1.5,
        panic_uses_all=False,
        retry=RetryRules(
            attempts=3,
            causes=frozenset({"timeout", "status"}),
            statuses=frozenset({503}),
            share=0.1,
            per_second_min=5,
        ),
        ejection=EjectionRules(
            failures=2, statuses=frozenset({500}), seconds=5.0, seconds_max=50.0, share_max=0.5
        ),
        breaker=BreakerRules(
            error_ratio=0.25, requests_min=7, window_seconds=20.0, open_seconds=3.0, probes=4
        ),
        breaker_statuses=frozenset({500}),
    )


def test_without_retries_no_answer_is_dropped(tmp_path: Path) -> None:
    assert settings_of(tmp_path, "retry: {attempts: 1, on: [503]}").retry.statuses == frozenset()


@pytest.mark.parametrize(
    ("host", "targets", "sent", "differs"),
    [
        ("preserve", "'http://a', 'http://b'", b"", False),
        ("upstream", "'http://a:81'", b"a:81", False),
        ("upstream", "'http://a', 'http://b'", b"", True),
        ("x.test", "'http://a', 'http://b'", b"x.test", False),
        ("upstream", "'http+unix:/a', 'http+unix:/b'", b"localhost", False),
    ],
)
def test_host_is_decided_by_the_target_only_where_targets_differ(
    host: str, targets: str, sent: bytes, differs: bool, tmp_path: Path
) -> None:
    made = settings_of(tmp_path, f"host: {host}", targets)
    assert (made.host, made.has_own_host) == (sent, differs)


async def test_state_of_a_running_gateway_is_in_its_metrics_and_its_admin_api(
    tmp_path: Path,
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if dies:
            writer.transport.abort()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await reader.read()
        writer.close()

    dies = True
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = (
        f"upstreams: {{u: {{targets: ['http://127.0.0.1:{port}', 'http://127.0.0.1:1'],"
        " retry: {attempts: 3}, health: {passive: {failures: 1}}}}\n"
        "routes: [{name: r, match: {path: /r}, auth: none, upstream: u}]\n"
    )
    async with serving(tmp_path, text) as gateway:
        assert (await ask(gateway.public_address, "/r")).status == 502
        dies = False
        assert (await ask(gateway.public_address, "/r")).status in {200, 502}
        page = (await ask(gateway.metrics_address, "/metrics")).body.decode()
        assert 'tollhouse_upstream_up{upstream="u"} 1.0' in page
        assert 'tollhouse_upstream_ejections_total{upstream="u"} 1.0' in page
        assert page.count("tollhouse_upstream_target_up{") == 2
        assert 'outcome="retried",upstream="u"} ' in page
        (told,) = (await ask(gateway.admin_address, "/admin/v1/upstreams")).json["data"]
        states = {each["target"]: each["state"] for each in told["targets"]}
        assert sorted(states.values()) == ["ejected", "up"]
        (ejected,) = (each for each in told["targets"] if each["state"] == "ejected")
        assert ejected["why"].startswith(ejected["target"])
        assert ejected["since"].endswith("Z")
    server.close()
    await server.wait_closed()
