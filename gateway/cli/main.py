"""Puts the verbs of `tollhouse` together.

Knows which verbs there are. Every module brings its own parser and a function that returns the exit status: 0 done, 1
refused or problems found, 2 wrong usage, 3 cannot connect.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gateway import __version__
from gateway.cli import check, docs, keys, pepper, reload, run, streams, tenants, upstreams


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog="tollhouse",
        description="An API gateway that authenticates keys, enforces scopes, address rules and limits.",
        epilog="`tollhouse VERB --help` explains a verb.",
    )
    parser.add_argument("--version", action="version", version=f"tollhouse {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for module in (run, check, reload, keys, tenants, streams, upstreams, pepper, docs):
        module.register(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    options = build_parser().parse_args(arguments)
    status: int = options.run(options)
    return status
