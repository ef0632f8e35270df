"""Puts the verbs of `tollhouse` together.

Knows which verbs there are. Every module brings its own parser and a function that returns the exit status: 0 done, 1
refused or problems found, 2 wrong usage, 3 cannot connect.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final

from gateway import __version__
from gateway.build import BUILD
from gateway.control.garbage import not_looking

VERBS: Final[Mapping[str, str]] = {
    "run": "run",
    "check": "check",
    "schema": "check",
    "plan": "plan",
    "reload": "reload",
    "rollback": "reload",
    "fmt": "fmt",
    "doctor": "doctor",
    "version": "version",
    "bench": "bench",
    "db": "db",
    "keys": "keys",
    "rotations": "rotations",
    "incidents": "incidents",
    "leaks": "leaks",
    "deliveries": "deliveries",
    "templates": "templates",
    "tenants": "tenants",
    "admin": "admin",
    "audit": "audit",
    "requests": "requests",
    "alerts": "alerts",
    "usage": "usage",
    "streams": "streams",
    "upstreams": "upstreams",
    "workers": "workers",
    "nodes": "nodes",
    "explain": "explain",
    "ip-test": "ip_test",
    "report": "report",
    "pepper": "pepper",
    "completion": "completion",
    "docs": "docs",
}
"""Verb -> its module here. Imported when it is wanted: a gateway that runs needs none of what the others need."""


def build_parser(verb: str = "") -> argparse.ArgumentParser:
    """Return the parser of all verbs, or of the module of `verb` alone if there is one."""
    parser = argparse.ArgumentParser(
        prog="tollhouse",
        description="An API gateway that authenticates keys, enforces scopes, address rules and limits.",
        epilog="`tollhouse VERB --help` explains a verb.",
    )
    parser.add_argument("--version", action="version", version=f"tollhouse {__version__} ({BUILD})")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    wanted = [VERBS[verb]] if verb in VERBS else dict.fromkeys(VERBS.values())
    for name in wanted:
        import_module(f"gateway.cli.{name}").register(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with not_looking():
        parser = build_parser(arguments[0] if arguments else "")
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status
