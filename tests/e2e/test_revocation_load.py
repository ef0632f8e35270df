"""Small versions of `make bench-revocation` and `make bench-stream-cut`, which the full ones must not differ from."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from bench.everything import everything_on
from bench.feed_clients import CountedFeed, Socket
from bench.machine import Unusable, free_port
from bench.many_keys import fill, token
from bench.policy import make_policy
from bench.revoking import (
    Revoked,
    Seen,
    Turns,
    admitted_late,
    both,
    refused_late,
)
from bench.stream_cut import CUT_MAX_SECONDS, cut, serving, verify
from bench.subjects import GATEWAY_COMMAND, gateway_config
from tests.e2e.process import running

KEYS = 2000
SECONDS = 2.0


@pytest.mark.parametrize("workers", [1, 2])
async def test_no_request_begins_under_a_key_after_its_revocation_is_effective(
    workers: int, tmp_path: Path
) -> None:
    """D1: random revocations under load, judged by the clients' clock."""
    policy, port = make_policy(), free_port()
    me = {"name": "me", "match": {"path": "/me"}, "handler": "introspect"}
    config = everything_on(gateway_config(policy, port, free_port()))
    config |= {"workers": workers, "bootstrap": {}, "routes": [me]}
    fill(tmp_path / "tollhouse.db", KEYS, policy)
    order = random.Random(workers).sample(range(KEYS), KEYS)

    def asking(number: int) -> bytes:
        head = f"GET /me HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer {token(number)}\r\n\r\n"
        return head.encode()

    with running(tmp_path, "http://127.0.0.1:9", json.dumps(config)) as gateway:
        seen, revoked = await both(
            [port], [tmp_path / "admin.sock"], asking, "many-{:07d}".format, Turns(order, range(KEYS)),
            connections=8, at_once=4, seconds=SECONDS,
        )  # fmt: skip
        assert gateway.process.poll() is None
    assert admitted_late(seen, revoked) == []
    assert revoked.effective
    assert refused_late(seen, revoked) > 0
    assert len(seen.passed) > len(revoked.effective)
    assert (seen.broken, revoked.partial) == (0, 0)


def test_a_request_that_began_late_and_was_let_through_is_found() -> None:
    seen = Seen(passed=[(1, 10.0), (1, 10.2), (2, 10.2)], refused=[(1, 10.3), (1, 10.0)])
    revoked = Revoked(effective={1: 10.1})
    assert admitted_late(seen, revoked) == [(1, 10.2)]
    assert refused_late(seen, revoked) == 1


@pytest.mark.parametrize("workers", [1, 2])
async def test_exactly_the_streams_of_revoked_keys_end_and_the_others_miss_nothing(
    workers: int, tmp_path: Path
) -> None:
    """D2: half of them server-sent events, half WebSockets, all in real processes."""
    with serving(tmp_path, GATEWAY_COMMAND, workers) as place:
        done = await cut(place, workers, 200, 10)
    assert (done.streams, done.ended, done.told) == (200, 20, 20)
    assert done.acknowledged == f"{workers}/{workers}"
    assert done.seen_seconds < CUT_MAX_SECONDS


def a_feed(key: str, *, ended_at: float = 0.0) -> CountedFeed:
    feed = CountedFeed(key, b"")
    feed.ended_at = ended_at
    return feed


def test_what_ends_or_stays_wrongly_is_found() -> None:
    gone, stays = a_feed("a", ended_at=1.0), a_feed("b")
    verify([gone, stays], {"a"}, 1)
    whole, missed = a_feed("a", ended_at=1.0), a_feed("b")
    whole.is_finished, missed.is_whole = True, False
    closed = Socket("a", b"")
    closed.ended_at = 1.0
    wrong: list[tuple[list[CountedFeed | Socket], set[str], int, str]] = [
        ([gone, stays], {"b"}, 1, "1 streams of revoked keys went on, 1 others ended"),
        ([gone, stays], {"a"}, 2, "1 streams ended, the answers say 2"),
        ([whole, stays], {"a"}, 1, "come to its end"),
        ([gone, missed], {"a"}, 1, "missed an event"),
        ([closed, stays], {"a"}, 1, "close code 1008"),
    ]
    for streams, doomed, told, why in wrong:
        with pytest.raises(Unusable, match=why):
            verify(streams, doomed, told)
