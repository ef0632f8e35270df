from __future__ import annotations

import pytest

from gateway.domain.rotations import Rotation, RotationState


@pytest.mark.parametrize(
    ("state", "is_open"),
    [
        (RotationState.PENDING, True),
        (RotationState.OVERLAPPING, True),
        (RotationState.COMPLETED, False),
        (RotationState.ABORTED, False),
    ],
)
def test_both_keys_work_while_a_rotation_is_pending_or_overlapping(
    state: RotationState, is_open: bool
) -> None:
    """HP-11."""
    rotation = Rotation(
        rotation_id="rot_1",
        lineage_id="lin_1",
        tenant_id="ten_a",
        old_key_id="key_a",
        new_key_id="key_b",
        state=state,
        started_at=0.0,
        deadline=60.0,
    )
    assert rotation.is_open is is_open
