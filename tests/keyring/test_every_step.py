"""Everything that may happen to a key, from every state that so many steps lead to, against the model.

`test_state_machine` goes far, by chance; this goes everywhere nearby. Contract, section 7; D3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from tests.keyring.test_state_machine import LifeOfKeys

Place = tuple[Any, ...]
"""What the model says of a life, and what is written down: lives of the same place go on alike."""


class Life(LifeOfKeys):
    """One key, and the one that it is rotated to."""

    def pass_time(self) -> None:
        """Go on to where time does something the next time; nobody looks."""
        if self.comes_next is not None:
            self.house.clock.advance(self.comes_next - self.now)

    def pass_time_looked_at(self) -> None:
        self.pass_time()
        self.somebody_looks()

    def begin_rotation(self) -> None:
        if not self.turns:  # one is enough
            self.rotate(0, 20.0)

    def end_turn(self, is_aborted: bool) -> None:
        if self.turns:
            self.end_rotation(0, is_aborted)

    @property
    def place(self) -> Place:
        def until(moment: float | None) -> float | None:
            return None if moment is None else max(0.0, moment - self.now)

        keys = [
            (key.is_revoked, key.is_suspended, *map(until, (key.expires_at, key.resume_at)),
             until(key.retires_at))
            for key in self.keys
        ]  # fmt: skip
        turns = [(turn.ended, until(turn.deadline)) for turn in self.turns]
        records = [self.run(self.house.key(key.key_id)) for key in self.keys]
        written = [(record.state, record.is_held) for record in records]
        return (*keys, *turns, *written)

    def check(self) -> None:
        self.every_key_is_in_the_state_that_a_person_would_say()
        self.every_rotation_is_where_a_person_would_say()
        self.nothing_is_told_twice()


STEPS: Final[Mapping[str, Callable[[Life], None]]] = {
    "suspend": lambda life: life.suspend(0, None),
    "suspend for a while": lambda life: life.suspend(0, 5.0),
    "resume": lambda life: life.resume(0),
    "extend": lambda life: life.extend(0, 20.0),
    "rotate": Life.begin_rotation,
    "abort": lambda life: life.end_turn(True),
    "complete": lambda life: life.end_turn(False),
    "revoke": lambda life: life.end(0, "revoke_key"),
    "time": Life.pass_time,
    "time, looked at": Life.pass_time_looked_at,
    "look": lambda life: life.somebody_looks(),
}


def lived(lives: float | None, path: tuple[str, ...]) -> Place:
    """Live a life, check what holds at its end, and return where it has come."""
    life = Life()
    try:
        life.create(lives)
        for step in path:
            STEPS[step](life)
        life.check()
        return life.place
    finally:
        life.teardown()


@pytest.mark.parametrize(("lives", "depth"), [(None, 4), (10.0, 5), (40.0, 4)])
def test_every_step_from_every_state_nearby_leads_where_a_person_would_say(
    lives: float | None, depth: int
) -> None:
    """A suspension outlives whatever else happens to a key, until it is resumed or its time is over (IV-21)."""
    paths: dict[Place, tuple[str, ...]] = {lived(lives, ()): ()}
    newest = dict(paths)
    for _ in range(depth):
        found: dict[Place, tuple[str, ...]] = {}
        for path in newest.values():
            for step in STEPS:
                at = lived(lives, (*path, step))
                if at not in paths:
                    paths[at] = found[at] = (*path, step)
        newest = found
    assert len(paths) > 50
