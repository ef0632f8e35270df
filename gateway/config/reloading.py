"""What comes of an attempt to reload, in the words that the log, the admin API and the command line share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config.changes import Change
from gateway.config.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """A configuration that is in force as `generation`, or, where it was only checked, would be the next one.

    `changes` is what is different from the one before, `restart` the keys whose new values wait for a restart. `again`
    is the generation whose configuration it is once more after a rollback, 0 for one that was read, or was in force
    before the gateway was started. `version` is the digest of its texts, empty where it is not known; `taken_at` (epoch
    seconds) says since when a configuration was in force to which a rollback goes back, 0 for any other.
    """

    generation: int
    again: int = 0
    changes: Sequence[Change] = ()
    restart: Sequence[str] = ()
    version: str = ""
    taken_at: float = 0.0


class ReloadRefused(Exception):
    """A configuration was not taken, and the one in force stays. The text says why; `problems` lists the mistakes in
    it, if that is why.
    """

    def __init__(self, why: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(why)
