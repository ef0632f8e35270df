from __future__ import annotations

from gateway.domain.enforcement import Enforced


def test_a_change_is_everywhere_once_all_have_acknowledged_it() -> None:
    assert Enforced(effective_at=1.0, acknowledged=3, of=3).is_everywhere
    late = Enforced(effective_at=1.0, acknowledged=2, of=3, silent=("worker 2",))
    assert not late.is_everywhere
