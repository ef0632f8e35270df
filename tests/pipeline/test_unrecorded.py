from __future__ import annotations

from gateway.domain.denial import Denial, Reason
from gateway.pipeline.unrecorded import Unrecorded
from tests.pipeline.samples import head, matched


def test_nobody_is_let_in_while_nothing_can_be_recorded() -> None:
    found = Unrecorded().authenticate(matched(head()), "192.0.2.1")
    assert isinstance(found, Denial)
    assert found.reason is Reason.RECORDING_UNAVAILABLE
    assert found.retry_after_seconds == 1
