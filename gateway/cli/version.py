"""`tollhouse version`: what runs here, for a report of a problem."""

from __future__ import annotations

import argparse
import platform
import sqlite3
import ssl
from importlib.metadata import version
from typing import Any, Final

from gateway import __version__
from gateway.build import BUILD
from gateway.cli.output import Printer, add_output_option
from gateway.stores.migrations import newest

_LIBRARIES: Final = (
    *("aiohttp", "aiosqlite", "cryptography", "httptools", "orjson", "prometheus-client"),
    *("pydantic", "ruamel.yaml", "uvloop"),
)


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "version",
        help="print the versions of the gateway and of what it stands on",
        description="Print the versions of the gateway and of what it stands on.",
        allow_abbrev=False,
    )
    add_output_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    Printer(options.output).entry(versions())
    return 0


def versions() -> dict[str, Any]:
    """Return all versions by name. `schema` is that of the store, to which an older file is brought at the start."""
    return {
        "tollhouse": __version__,
        "build": BUILD,
        "schema": newest(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION,
        **{name: version(name) for name in _LIBRARIES},
    }
