"""What a reader must know of the machine to judge a figure."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Facts:
    """The machine in one line."""

    python: str
    cpu: str
    cores: int
    system: str

    @classmethod
    def of_this_machine(cls) -> Facts:
        """Read them."""
        return cls(
            python=f"{platform.python_implementation()} {platform.python_version()}",
            cpu=_cpu(Path("/proc/cpuinfo")),
            cores=os.cpu_count() or 1,
            system=f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}",
        )

    def __str__(self) -> str:
        return f"{self.python}; {self.cores} cores of {self.cpu}; {self.system}"


def _cpu(path: Path) -> str:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return "an unknown CPU"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "an unknown CPU"
