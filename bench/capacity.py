"""What a load needs: `python -m bench.capacity --requests 20000 --keys 1000000 --active-keys 100000 ...`.

Prints cores, memory, disk and operations, and what would end first. The sums are those of `bench.capacity_model`, the
constants were measured (`--costs` lists them with their commands).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from bench.capacity_model import COSTS, Ceiling, Demand, Line, ceilings, estimate

_CHOICES: Final = {
    "store": ("sqlite", "postgresql"),
    "limits": ("memory", "exact", "leased"),
}
_UNITS: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what the load needs."""
    options = _parser().parse_args(arguments)
    if options.costs:
        print(cost_table())
        return 0
    asked = vars(options)
    demand = Demand(**{field.name: asked[field.name] for field in fields(Demand)})
    print(report(estimate(demand), ceilings(demand)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    parser.add_argument("--costs", action="store_true", help="list the measured constants")
    for field in fields(Demand):
        option: dict[str, Any] = {"default": field.default, "help": f"default: {field.default}"}
        if isinstance(field.default, bool):
            option["action"] = "store_true"
        elif field.name in _CHOICES:
            option["choices"] = _CHOICES[field.name]
        else:
            option["type"] = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", **option)
    return parser


def report(lines: Sequence[Line], ends: Sequence[Ceiling]) -> str:
    """Return both tables."""
    rows = ["| needed | | |", "|---|---:|---|"]
    rows += [f"| {each.what} | {shown(each.amount, each.unit)} | {each.how} |" for each in lines]
    rows += ["", "| what ends first | used | before that |", "|---|---:|---|"]
    rows += [f"| {each.what} | {each.used:.0%} | {each.then} |" for each in ends]
    return "\n".join(rows)


def cost_table() -> str:
    """Return the constants."""
    rows = ["| what | measured | by |", "|---|---:|---|"]
    for name, cost in COSTS.items():
        rows.append(f"| {name} | {shown(cost.value, cost.unit)} | `{cost.measured_by}` |")
    return "\n".join(rows)


def shown(amount: float, unit: str) -> str:
    """Return a number as people read it: three digits that count, bytes in units of thousands."""
    if unit.startswith("bytes"):
        for size, name in _UNITS:
            if amount >= size:
                return f"{_rounded(amount / size)} {name}{unit.removeprefix('bytes')}"
    return f"{_rounded(amount)} {unit}"


def _rounded(amount: float) -> str:
    if amount >= 100:
        return f"{amount:,.0f}"
    return f"{amount:.3g}"


if __name__ == "__main__":
    sys.exit(main())
