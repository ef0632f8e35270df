"""What everything that the admin API reads or writes has in common.

Knows pydantic. What reads and writes a shape is built when the first such body comes: dozens of them are of no use to a
gateway that starts.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(defer_build=True)


class Shape(View):
    """The body of a request: what it does not know is refused, and nothing is taken for something else."""

    model_config = ConfigDict(extra="forbid", strict=True)
