"""What operators and metrics see of upstreams."""

from __future__ import annotations

from gateway.telemetry.families import FAMILIES
from gateway.upstreams.breaker import BreakerRules
from gateway.upstreams.health import EjectionRules
from gateway.upstreams.overview import overview
from gateway.upstreams.readings import READINGS
from gateway.upstreams.settings import Settings
from tests.harness import plane, post, request
from tests.wire import OK, answering, echo, until

BREAKER = BreakerRules(
    error_ratio=0.5, requests_min=100, window_seconds=10, open_seconds=10, probes=1
)


async def test_state_of_each_target_is_told_with_its_reason() -> None:
    chosen = Settings(balance="least_outstanding", ejection=EjectionRules(failures=3))
    async with plane(answering(OK), answering(OK), echo, upstream=chosen) as held:
        first, second, third = held.service.targets
        first.probed(False, "GET /health: 500")
        held.service.retarget({first.address: 1, third.address: 4})
        client = await held.send(post("Content-Length: 1"))
        await until(lambda: third.outstanding == 1)
        (told,) = overview([held.service], first.time() + 60)
        assert (told.name, told.is_up, told.is_panicking) == ("up", True, False)
        assert (told.breaker, told.balance, told.requests) == ("", "least_outstanding", 1)
        down, busy = told.targets
        assert (down.target, down.state, down.why) == (first.label, "down", "GET /health: 500")
        assert 60 <= down.seconds < 120
        assert (busy.state, busy.weight, busy.outstanding, busy.idle) == ("up", 4, 1, 0)
        held.service.retarget({first.address: 1})
        (told,) = overview([held.service], first.time())
        assert [each.state for each in told.targets] == ["down", "draining"]
        assert told.is_panicking
        client.send(b"x")
        await client.answer()
        await until(lambda: len(overview([held.service], 0.0)[0].targets) == 1)
        assert second not in held.service.targets


async def test_metrics_read_every_target_and_every_breaker() -> None:
    async with plane(answering(OK), answering(OK), upstream=Settings(breaker=BREAKER)) as held:
        await held.answer(request())
        first, second = (target.label for target in held.service.targets)
        held.service.targets[0].probed(False, "down")
        read = {name: reading(lambda: [held.service]) for name, reading in READINGS.items()}
        assert read["upstream_up"] == {("up",): 1}
        assert read["upstream_target_up"] == {("up", first): 0, ("up", second): 1}
        assert sum(read["upstream_idle_connections"].values()) == 1
        assert set(read["upstream_outstanding_requests"].values()) == {0}
        assert set(read["upstream_waiting_requests"].values()) == {0}
        assert read["upstream_ejections_total"] == {("up",): 0}
        assert read["upstream_breaker_state"] == {
            ("up", "closed"): 1,
            ("up", "open"): 0,
            ("up", "half_open"): 0,
        }


async def test_upstream_without_a_breaker_tells_none() -> None:
    async with plane(answering(OK)) as held:
        assert READINGS["upstream_breaker_state"](lambda: [held.service]) == {}


def test_every_reading_is_a_declared_metric() -> None:
    watched = {family.name for family in FAMILIES if family.is_watched}
    assert set(READINGS) <= watched
