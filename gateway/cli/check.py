"""`tollhouse check` and `tollhouse schema`: a configuration is judged without starting anything.

Knows how problems are printed. It must not know what a problem is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal, TextIO

from gateway.config.load import check as check_config
from gateway.config.problems import Problem
from gateway.config.schema import config_schema

Output = Literal["text", "json"]


def check(
    path: Path, environ: Mapping[str, str], *, out: TextIO, err: TextIO, output: Output = "text"
) -> int:
    """Print every mistake of the configuration at `path` to `out`, and a summary to `err`.

    Returns the exit code: 0 when the gateway would start with it, else 1.
    """
    _, problems = check_config(path, environ)
    if output == "json":
        json.dump({"problems": [asdict(problem) for problem in problems]}, out, indent=2)
        out.write("\n")
    else:
        out.writelines(f"{problem}\n" for problem in problems)
    err.write(_summary(path, problems))
    return 1 if problems else 0


def _summary(path: Path, problems: list[Problem]) -> str:
    if not problems:
        return f"{path}: ok\n"
    count = len(problems)
    return f"{path}: {count} problem{'' if count == 1 else 's'}; nothing would be started\n"


def schema(*, out: TextIO) -> int:
    """Print the JSON Schema of the configuration to `out`, for editors; returns the exit code 0."""
    json.dump(config_schema(), out, indent=2, ensure_ascii=False)
    out.write("\n")
    return 0
