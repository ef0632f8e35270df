"""`tollhouse check` and `tollhouse schema`: a configuration is judged without starting anything.

Knows how problems are printed. It must not know what a problem is.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, TextIO

from gateway.config.load import check as check_config
from gateway.config.problems import Problem
from gateway.config.schema import config_schema

Output = Literal["text", "json"]


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs."""
    parser = verbs.add_parser(
        "check",
        help="name every mistake in a configuration",
        description="Name every mistake in a configuration, each with its place, without starting"
        " anything. Exits with 1 if there is one.",
    )
    parser.add_argument(
        "--config", type=Path, default=Path("config.yaml"), help="configuration file"
    )
    parser.add_argument(
        "--output", default="text", choices=("text", "json"), help="how to print the mistakes"
    )
    parser.set_defaults(run=_run_check)
    parser = verbs.add_parser(
        "schema",
        help="print the JSON Schema of the configuration",
        description="Print the JSON Schema (draft 2020-12) of the configuration file, for editors.",
    )
    parser.set_defaults(run=_run_schema)


def _run_check(options: argparse.Namespace) -> int:
    return check(options.config, os.environ, out=sys.stdout, err=sys.stderr, output=options.output)


def _run_schema(_options: argparse.Namespace) -> int:
    return schema(out=sys.stdout)


def check(
    path: Path, environ: Mapping[str, str], *, out: TextIO, err: TextIO, output: Output = "text"
) -> int:
    """Print every mistake of the configuration at `path` to `out`, and a summary to `err`.

    Returns the exit status: 0 when the gateway would accept it, else 1.
    """
    _, problems = check_config(path, environ)
    if output == "json":
        json.dump({"problems": [asdict(problem) for problem in problems]}, out, indent=2)
        out.write("\n")
    else:
        out.writelines(f"{problem}\n" for problem in problems)
    err.write(_summary(path, problems))
    return 0 if all(problem.is_warning for problem in problems) else 1


def _summary(path: Path, problems: Sequence[Problem]) -> str:
    errors = sum(not problem.is_warning for problem in problems)
    if errors:
        return f"{path}: {errors} problem{'' if errors == 1 else 's'}, so nothing would start\n"
    warnings = len(problems)
    told = f", with {warnings} warning{'' if warnings == 1 else 's'}" if warnings else ""
    return f"{path}: ok{told}\n"


def schema(*, out: TextIO) -> int:
    """Print the JSON Schema of the configuration to `out`; returns the exit status 0."""
    json.dump(config_schema(), out, indent=2, ensure_ascii=False)
    out.write("\n")
    return 0
