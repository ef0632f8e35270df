"""Closes the door of a data plane while its requests cannot be recorded, if that is what the configuration asks for.

Knows the generation under which nobody is let in: it is put in the place of the one in force, so no request is asked
about it. It must not know how requests are recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.config import model
from gateway.pipeline.generation import Generation
from gateway.pipeline.unrecorded import Unrecorded

LOOK_SECONDS: Final = 0.25
"""How often it is looked: requests of that time may be missing. The queue takes more than they are."""


class Door:
    """Says under which generation requests are told. `can_record` tells whether requests can be recorded."""

    def __init__(self, can_record: Callable[[], bool]) -> None:
        self._can_record = can_record
        self.is_closed = False

    def look(self, config: model.Config) -> bool:
        """Close or open; return whether that has changed."""
        before = self.is_closed
        self.is_closed = config.on_failure.audit == "deny" and not self._can_record()
        return self.is_closed is not before

    def leads_to(self, generation: Generation) -> Generation:
        """Return `generation`, or the one under which nobody is let in."""
        if not self.is_closed:
            return generation
        return replace(generation, authenticator=Unrecorded())
