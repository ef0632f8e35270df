"""`tollhouse keys`: creates, lists, changes and ends API keys.

Knows options and columns. It must not judge them: the gateway does, and its answer is printed. The secret of a new key is
printed once; `whois` reads one from standard input.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway.cli.client import Act, AdminClient, WrongUsage, add_client_options, run
from gateway.cli.output import Printer

Verbs = Any  # argparse has no public name for what add_subparsers returns

_COLUMNS: Final = (
    *("key_id", "name", "tenant_id", "environment", "state", "display", "scopes"),
    *("expires_at", "last_used_at"),
)
_WHEN: Final = "30d, P30D or 2027-01-31T00:00:00Z"


def register(verbs: Verbs) -> None:
    """Add `keys` and its verbs."""
    parser = verbs.add_parser(
        "keys",
        help="create, list, change and end API keys",
        description="Create, list, change and end API keys, in the running gateway or --offline.",
    )
    inner = parser.add_subparsers(dest="keys_verb", metavar="VERB", required=True)
    _add_create(inner)
    _add_list(inner)
    _add_update(inner)
    _verb(inner, "show", _show, "show one key").add_argument("key_id", metavar="KEY_ID")
    for name, is_needed, text in (
        ("suspend", True, "stop a key for a while"),
        ("resume", False, "let a suspended key work again"),
        ("revoke", True, "stop a key for ever; this cannot be undone"),
    ):
        verb = _verb(inner, name, partial(_move, name), text)
        verb.add_argument("key_id", metavar="KEY_ID")
        verb.add_argument("--reason", required=is_needed, default="", help="why, for the record")
    whois = _verb(inner, "whois", _whois, "tell which key a secret belongs to")
    whois.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="file with the secret (default: standard input)",
    )


def _verb(inner: Verbs, name: str, act: Act, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = inner.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    add_client_options(parser)
    parser.set_defaults(run=partial(run, act=act))
    return parser


def _add_create(inner: Verbs) -> None:
    parser = _verb(inner, "create", _create, "mint a key; its secret is shown this once")
    parser.add_argument("--tenant", required=True, metavar="TENANT_ID", help="who owns the key")
    parser.add_argument("--name", required=True, help="what the key is for")
    parser.add_argument("--environment", help="such as live or test")
    parser.add_argument("--template", help="take what is not given here from this template")
    parser.add_argument("--format", help="key format, when there are several")
    parser.add_argument("--no-scopes", action="store_true", help="a key that may do nothing")
    _add_settings(parser)
    parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="PATH",
        help="write the secret to this new file (mode 0600) instead of printing it",
    )
    parser.add_argument(
        "--export-name",
        metavar="NAME",
        help="variable in the `export` line of a table (default: <FORMAT>_API_KEY)",
    )


def _add_list(inner: Verbs) -> None:
    parser = _verb(inner, "list", _list, "list keys")
    parser.add_argument("--tenant", metavar="TENANT_ID", help="only the keys of this tenant")
    parser.add_argument("--state", help="active, suspended, rotating, expired or revoked")
    parser.add_argument(
        "--limit", type=_positive, default=1000, help="most keys (default: %(default)s)"
    )


def _add_update(inner: Verbs) -> None:
    parser = _verb(inner, "update", _update, "change some fields of a key; the others stay")
    parser.add_argument("key_id", metavar="KEY_ID")
    parser.add_argument("--name", help="what the key is for")
    parser.add_argument("--no-scopes", action="store_true", help="take all scopes away")
    parser.add_argument("--no-ip", action="store_true", help="allow every address")
    parser.add_argument("--no-tags", action="store_true", help="take all tags away")
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    repeat = "; repeat for several"
    parser.add_argument("--scope", action="append", help=f"atom, bundle or wildcard{repeat}")
    parser.add_argument("--ip", action="append", help=f"allowed address or network{repeat}")
    parser.add_argument("--tag", action="append", help=f"tag{repeat}")
    parser.add_argument("--plan", help="plan of the config; '' for the tenant's")
    parser.add_argument("--expires", metavar="WHEN", help=f"{_WHEN}; never")
    parser.add_argument(
        "--metadata",
        type=json_object,
        metavar="JSON",
        help="JSON object; an update merges it, and null removes a member",
    )


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`, for argparse."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON object")
    return value
