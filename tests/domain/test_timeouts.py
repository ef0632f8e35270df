from __future__ import annotations

from gateway.domain.timeouts import Timeouts


def test_an_upstream_may_stream_for_ever_but_not_stall() -> None:
    assert Timeouts() == Timeouts(
        connect_seconds=2.0, response_seconds=30.0, idle_seconds=60.0, total_seconds=0.0
    )
