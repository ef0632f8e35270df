"""Some scenes of `make chaos`, which plays all of them: one for each thing that a gateway stands on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.scene import Scene, play
from tests.chaos.scenes import SCENES
from tests.e2e.conftest import demo_upstream as demo_upstream

pytestmark = pytest.mark.slow

_SHORT = ("redis-killed", "postgres-killed", "sqlite-removed", "start-damaged", "clock-back")


@pytest.mark.parametrize(
    "scene", [pytest.param(each, id=each.name) for each in SCENES if each.name in _SHORT]
)
def test_what_is_promised_holds_while_something_breaks(
    scene: Scene, demo_upstream: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    facts, said = play(
        replace(scene, hold=min(scene.hold, 2.0), settle=1.0), tmp_path, demo_upstream
    )
    assert said == []
    assert facts.asks
    assert facts.changes


def test_every_scene_has_a_name_of_its_own() -> None:
    names = [scene.name for scene in SCENES]
    assert len(names) == len({*names})
    assert {*_SHORT} <= {*names}
