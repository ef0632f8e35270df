"""A Dockerfile, read: its stages, each a list of instructions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction; `rest` is what stands behind its name, on one line."""

    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The command of an instruction in JSON form."""
        found: list[str] = json.loads(self.rest)
        return found


def stages(path: Path) -> list[list[Instruction]]:
    """Return the instructions from each FROM to the next; what stands before the first is left out."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[list[Instruction]] = []
    for line in joined.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            found.append([])
        if name and found:
            found[-1].append(Instruction(name, rest.strip()))
    return found


def values(stage: list[Instruction], name: str) -> list[str]:
    """Return what stands behind all instructions of a name."""
    return [each.rest for each in stage if each.name == name]


def command(stage: list[Instruction], name: str) -> list[str]:
    """Return the command of the last ENTRYPOINT, CMD or HEALTHCHECK."""
    rest = values(stage, name)[-1]
    return Instruction(name, rest[rest.index("[") :]).words


def copied_from_context(all_stages: list[list[Instruction]]) -> list[str]:
    """Return what is copied from the folder that is built."""
    return [
        source
        for stage in all_stages
        for rest in values(stage, "COPY")
        if not rest.startswith("--from=")
        for source in rest.split()[:-1]
    ]
