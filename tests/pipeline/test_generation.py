from __future__ import annotations

import pytest

from gateway.pipeline.generation import Voice
from tests.pipeline.samples import OPEN, THINGS
from tests.pipeline.world import World


def other_voice(world: World) -> Voice:
    usual = world.generation.voices[""]
    return Voice(dialect=usual.dialect, rate_headers=usual.rate_headers, overwritten=frozenset())


def test_the_environment_of_the_caller_chooses_the_upstream() -> None:
    world = World()
    assert world.generation.upstream("up", "live") is world.upstream
    assert world.generation.upstream("up", "test") is world.sandbox
    assert world.generation.upstream("up", "") is world.upstream


@pytest.mark.parametrize(("name", "environment"), [("up", "dev"), ("down", "live")])
def test_an_environment_that_is_not_declared_reaches_no_upstream(
    name: str, environment: str
) -> None:
    with pytest.raises(KeyError):
        World().generation.upstream(name, environment)


def test_every_route_has_its_own_voice_and_what_matched_none_the_default_one() -> None:
    world = World()
    own = other_voice(world)
    world.change(voices={**world.generation.voices, "open": own})
    assert world.generation.voice(OPEN) is own
    assert world.generation.voice(THINGS) is not own
    assert world.generation.voice(None) is world.generation.voices[""]


def test_generations_do_not_share_what_they_remember() -> None:
    assert World().generation.dates is not World().generation.dates
