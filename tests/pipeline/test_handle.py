"""The whole story, whatever becomes of it: every request is answered or cut, gives back what it held, and is recorded
once. `test_handle_order` has the order of the steps."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from gateway.domain.denial import Denial, Reason
from gateway.domain.networks import Allowlist
from gateway.domain.outcome import Outcome
from gateway.domain.request import RequestHead, ResponseHead
from gateway.domain.timeouts import Timeouts
from gateway.pipeline.generation import Voice
from gateway.pipeline.handle import handle
from gateway.ports import UpstreamFailure
from tests.pipeline.fakes import FakeExchange, Says, ok
from tests.pipeline.samples import (
    BAD_CHECKSUM,
    ME,
    OPEN,
    THINGS,
    TOKEN,
    concurrency,
    head,
    rate,
)
from tests.pipeline.world import RemoteLimiter, World, turn

DOWN = UpstreamFailure(Reason.UPSTREAM_UNREACHABLE, "10.0.0.9: refused")


# ---- refused


async def test_a_malformed_request_is_refused_before_its_path_is_looked_at() -> None:
    world = World()
    await world.add_key()
    denial = Denial(reason=Reason.INVALID_REQUEST, internal="two lengths")
    exchange = FakeExchange(head(), malformed=denial)
    assert (await world.ask(exchange)).status == 400
    assert world.touched == []
    assert world.outcome.route_name == "__unmatched__"
    assert world.outcome.detail == "two lengths"


async def test_a_caller_is_told_its_address_only_once_it_is_known() -> None:
    world = World(
        replace(THINGS, allowlist=Allowlist(["198.51.100.0/24"])),
        replace(OPEN, allowlist=Allowlist(["198.51.100.1"])),
    )
    await world.add_key()
    assert b"192.0.2.7" in (await world.ask(head())).body
    assert b"192.0.2.7" not in (await world.ask(head("/open"))).body


# ---- concurrency is given back on every ending, exactly once


def slot(world: World) -> bool:
    """Tell whether the key's only slot is free: that is, given back."""
    grant = world.limiter.acquire([concurrency(1)])
    world.limiter.release(grant)
    return grant.refused is None


Ending = Callable[[World], None]


def refuses_to_connect(world: World) -> None:
    world.upstream.unreachable = DOWN


def breaks_off(world: World) -> None:
    world.upstream.script.append(Says(ok().head, (b"he",), ends="upstream_broke"))


def crashes(world: World) -> None:
    def connect(affinity: bytes = b"", timeouts: Timeouts | None = None) -> NoReturn:
        raise RuntimeError(affinity, timeouts)

    world.upstream.connect = connect  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("ending", "asked"),
    [
        (lambda _: None, head()),
        (lambda _: None, head("/me")),
        (lambda _: None, head(method="HEAD")),
        (lambda _: None, head("/v1/things", ("Via", "1.1 tollhouse"))),
        (lambda _: None, head(method="POST", body_length=11)),
        (refuses_to_connect, head()),
        (breaks_off, head()),
        (crashes, head()),
    ],
    ids=["reply", "introspection", "head", "loop", "body", "unreachable", "broken", "crash"],
)
async def test_concurrency_is_given_back_exactly_once_whatever_happens(
    ending: Ending, asked: RequestHead
) -> None:
    world = World(replace(THINGS, body_bytes_max=10), ME, claims=(concurrency(1),))
    await world.add_key()
    ending(world)
    await world.tell(asked)
    assert len(world.limiter.released) == 1
    assert slot(world)


async def test_concurrency_is_held_until_the_last_byte() -> None:
    world = World(claims=(concurrency(1),))
    await world.add_key()
    world.upstream.script.append(Says(ok().head, (b"he",), ends=None))
    first = world.begin(FakeExchange(head()))
    assert (await world.ask(head())).status == 429
    assert world.limiter.released == []
    first.finished.set("complete")
    assert len(world.limiter.released) == 1
    assert (await world.ask(head())).status == 200


async def test_a_client_that_leaves_gives_its_concurrency_back_at_once() -> None:
    world = World(claims=(concurrency(1),))
    await world.add_key()
    world.upstream.script.append(None)
    exchange = world.begin(FakeExchange(head()))
    assert not slot(world)
    exchange.leave()
    assert len(world.limiter.released) == 2  # the probe's own, and the client's
    assert slot(world)


async def test_a_request_that_held_no_concurrency_gives_none_back() -> None:
    world = World(claims=(rate(),))
    await world.add_key()
    await world.tell(head())
    assert world.limiter.released == []


async def test_a_refused_request_gives_nothing_back() -> None:
    world = World(claims=(concurrency(1),))
    await world.add_key()
    world.limiter.acquire([concurrency(1)])
    assert (await world.ask(head())).status == 429
    assert world.limiter.released == []


# ---- a limiter on another host


async def test_a_request_waits_for_a_remote_limiter_and_goes_on() -> None:
    world = World(claims=(rate(1), concurrency(1)))
    await world.add_key()
    remote = RemoteLimiter(world.limiter)
    world.use(remote)
    exchange = world.begin(FakeExchange(head()))
    assert not exchange.is_begun
    assert "upstream" not in world.touched
    await remote.arrive()
    assert exchange.response.status == 200
    refused = world.begin(FakeExchange(head()))
    await remote.arrive()
    assert refused.response.status == 429
    assert len(world.recorded.outcomes) == 2
    assert len(world.limiter.released) == 1


async def test_a_remote_limiter_that_fails_is_a_500_and_never_a_pass() -> None:
    world = World(claims=(rate(1),))
    await world.add_key()
    remote = RemoteLimiter(world.limiter)
    world.use(remote)
    exchange = world.begin(FakeExchange(head()))
    remote.pending[0][0].set_exception(RuntimeError("redis"))
    await turn()
    assert exchange.response.status == 500
    assert "upstream" not in world.touched


# ---- the client leaves


async def test_a_client_that_left_gets_no_answer_and_is_recorded_as_gone() -> None:
    world = World()
    await world.add_key()
    world.upstream.script.append(None)
    exchange = world.begin(FakeExchange(head()))
    exchange.leave()
    assert exchange.answers == []
    assert world.outcome.ended == "client_gone"
    assert world.outcome.status == 0
    assert world.outcome.reason is None


async def test_a_client_that_leaves_while_its_key_is_looked_up_gets_no_answer() -> None:
    world = World()
    exchange = world.begin(FakeExchange(head()))
    exchange.leave()
    await turn()
    assert exchange.answers == []
    assert world.outcome.ended == "client_gone"
    assert world.outcome.reason is None


async def test_nothing_is_asked_of_the_upstream_for_a_client_that_left_before() -> None:
    world = World()
    await world.add_key()
    exchange = FakeExchange(head())
    exchange.leave()
    world.begin(exchange)
    assert world.upstream.connections == []
    assert world.upstream.asked_fresh == []
    assert world.outcome.ended == "client_gone"


async def test_a_client_that_leaves_during_the_response_is_recorded_with_its_status() -> None:
    world = World()
    await world.add_key()
    world.upstream.script.append(Says(ok().head, (b"he",), ends=None))
    exchange = world.begin(FakeExchange(head()))
    exchange.write(b"l")
    exchange.leave()
    assert world.outcome.ended == "client_gone"
    assert world.outcome.status == 200
    assert world.outcome.source == "upstream"


# ---- something breaks


class Broken:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def fail(*arguments: object, **options: object) -> NoReturn:
            raise RuntimeError(f"{name} broke")

        return fail


class BrokenIn:
    """Raises in one act, and does the others like what it stands for."""

    def __init__(self, inner: object, act: str) -> None:
        self._inner = inner
        self._act = act

    def __getattr__(self, name: str) -> Any:
        if name == self._act:
            raise RuntimeError(f"{name} broke")
        return getattr(self._inner, name)


def broken_introspect(*_: object) -> NoReturn:
    raise RuntimeError("introspect broke")


@pytest.mark.parametrize(
    ("parts", "target"),
    [
        ({"table": Broken()}, "/v1/things"),
        ({"authenticator": Broken()}, "/v1/things"),
        ({"barred": 7}, "/v1/things"),
        ({"limiter": Broken()}, "/v1/things"),
        ({"upstreams": {}}, "/v1/things"),
        ({"border": Broken()}, "/v1/things"),
        ({"introspect": broken_introspect}, "/me"),
    ],
    ids=["route", "authenticate", "authorize", "limit", "upstream", "forward", "introspect"],
)
async def test_a_crash_in_any_step_is_a_500_in_the_dialect_and_recorded_once(
    parts: dict[str, Any], target: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(errors="jobhive", claims=(rate(),))
    await world.add_key()
    world.change(**parts)
    if isinstance(parts.get("limiter"), Broken):
        world.change(limiter=BrokenIn(world.limiter, "acquire"))
    with caplog.at_level(logging.CRITICAL):
        answer = await world.ask(head(target))
    assert answer.status == 500
    assert json.loads(answer.body)["success"] is False
    assert world.outcome.reason is Reason.INTERNAL
    assert world.outcome.status == 500
    (line,) = caplog.records
    assert line.levelno == logging.CRITICAL
    assert "req_0123" in line.getMessage()
    assert line.exc_info is not None
    assert TOKEN not in caplog.text


async def test_a_crash_never_says_to_the_client_what_broke() -> None:
    world = World()
    await world.add_key()
    world.change(border=Broken())
    answer = await world.ask(head())
    assert b"broke" not in answer.body
    assert b"RuntimeError" not in answer.body


async def test_a_crash_while_a_key_is_looked_up_is_a_500_and_never_a_pass() -> None:
    world = World()
    await world.add_key(is_cached=False)

    def bind(*_: object) -> NoReturn:
        raise LookupError("ten_a is on plan 'gone', which the config does not declare")

    world.keys._bind = bind
    answer = await world.ask(head())
    assert answer.status == 500
    assert b"gone" not in answer.body
    assert "upstream" not in world.touched
    assert world.outcome.key is None


async def test_a_crash_after_the_response_began_cuts_it_off() -> None:
    world = World(claims=(concurrency(1),))
    await world.add_key()
    world.upstream.script.append(Says(ok().head, _Breaking()))
    exchange = await world.tell(head())
    assert exchange.response.status == 200
    assert exchange.aborted == "cut"
    assert world.outcome.reason is Reason.INTERNAL
    assert slot(world)


class _Breaking(Sequence[bytes]):
    """Content whose relaying breaks."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> NoReturn:
        raise RuntimeError("relay broke")


async def test_a_response_that_a_crash_cut_off_is_not_recorded_as_complete() -> None:
    world = World()
    await world.add_key()
    world.upstream.script.append(Says(ok().head, _Breaking()))
    await world.tell(head())
    assert world.outcome.ended == "cut"


class _BrokenDialect:
    """A dialect that cannot speak."""

    name = "problem"

    def render(self, *_: object) -> NoReturn:
        raise RuntimeError("render broke")


def voiceless(world: World) -> None:
    usual = world.generation.voices[""]
    dialect: Any = _BrokenDialect()
    voice = Voice(dialect=dialect, rate_headers=usual.rate_headers, overwritten=frozenset())
    world.change(voices=dict.fromkeys(world.generation.voices, voice))


async def test_a_crash_while_refusing_is_recorded_and_gives_concurrency_back() -> None:
    world = World(claims=(concurrency(1),))
    await world.add_key()
    world.upstream.unreachable = DOWN
    voiceless(world)
    exchange = world.begin(FakeExchange(head()))
    assert len(world.recorded.outcomes) == 1
    assert exchange.finished.is_set
    assert slot(world)


async def test_a_look_up_that_is_cancelled_at_shutdown_is_still_recorded() -> None:
    world = World()
    await world.add_key(is_cached=False)
    world.begin(FakeExchange(head()))
    await world.keys.close()
    await turn()
    assert len(world.recorded.outcomes) == 1


async def test_a_crash_before_the_response_begins_gives_the_upstream_connection_back() -> None:
    world = World(claims=(rate(),))
    await world.add_key()
    usual = world.generation.voices["things"]
    headers: Any = Broken()
    voice = Voice(dialect=usual.dialect, rate_headers=headers, overwritten=frozenset())
    world.change(voices={**world.generation.voices, "things": voice})
    world.begin(FakeExchange(head()))
    assert world.upstream.last.cancelled is not None


async def test_a_recorder_that_breaks_its_promise_cannot_take_the_answer_back() -> None:
    world = World(claims=(concurrency(1),))
    await world.add_key()
    world.change(recorder=Broken())
    exchange = world.begin(FakeExchange(head()))
    assert exchange.response.status == 200
    assert slot(world)
    assert len(world.crashes) == 1


# ---- one story, however it ends, is one outcome


@pytest.mark.parametrize(
    "asked",
    [
        head(),
        head("/open", token=None),
        head("/me"),
        head("/nowhere"),
        head(method="HEAD"),
        head(token=None),
        head(token=BAD_CHECKSUM),
        head("/v1/things", ("Via", "1.1 tollhouse")),
    ],
)
@pytest.mark.parametrize(
    "ending",
    [lambda _: None, refuses_to_connect, breaks_off, crashes],
    ids=["answers", "refuses", "breaks", "crashes"],
)
async def test_every_request_is_recorded_exactly_once(ending: Ending, asked: RequestHead) -> None:
    world = World(claims=(rate(9), concurrency(1)))
    await world.add_key()
    ending(world)
    exchange = await world.tell(asked)
    await turn()
    assert len(world.recorded.outcomes) == 1
    assert world.outcome.status == exchange.response.status
    assert world.outcome.request_id == b"req_0123"
    assert slot(world)


async def test_what_the_story_took_is_measured_from_its_begin() -> None:
    world = World()
    await world.add_key()
    world.upstream.script.append(None)
    exchange = world.begin(FakeExchange(head()))
    world.clock.advance(1.5)
    world.upstream.last.answered.set(ResponseHead(status=200))
    world.clock.advance(0.5)
    exchange.finished.set("complete")
    assert world.outcome.duration == 2.0
    assert world.outcome.upstream_duration == 2.0
    assert world.outcome.started == 1_000.0


async def test_the_story_of_one_request_can_be_awaited_as_a_coroutine() -> None:
    world = World()
    await world.add_key()
    exchange = FakeExchange(head())
    pending: Awaitable[None] = handle(exchange, world.generation)
    await asyncio.wait_for(pending, 1)
    assert exchange.response.status == 200


def test_a_generation_is_kept_by_the_request_that_began_with_it() -> None:
    world = World()
    world.upstream.script.append(None)
    exchange = world.begin(FakeExchange(head("/open", token=None)))
    upstream, recorded = world.upstream, world.recorded
    world.change(recorder=Broken(), upstreams={}, voices={})
    upstream.last.answered.set(ok().head)
    exchange.finished.set("complete")
    outcomes: list[Outcome] = recorded.outcomes
    assert exchange.response.status == 200
    assert len(outcomes) == 1
