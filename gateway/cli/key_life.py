"""Further verbs of `tollhouse keys`: rotate, compromise, extend, suspend, delete, import.

Knows options and how a file becomes the body of an import. It must not judge them: the gateway does, and its answer is
printed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from gateway.cli import moments
from gateway.cli.client import AdminClient, WrongUsage
from gateway.cli.hand_over import add_hand_over_options, mint
from gateway.cli.options import (
    Verbs,
    add_act,
    add_change,
    is_duration,
    moment,
    path_part,
)
from gateway.cli.output import Printer

_BATCH: Final = 100
"""Keys that the admin API takes at once."""

_IMPORTED: Final = ("key_id", "name", "tenant_id", "environment", "state", "display", "scopes")


def register(inner: Verbs) -> None:
    """Add the verbs to those of `keys`."""
    _add_rotate(inner)
    _add_compromise(inner)
    text = "give a key a new end, also after it has expired"
    extend = add_act(inner, "extend", _extend, text, what="KEY_ID", needs_reason=False)
    extend.add_argument(
        "--expires", required=True, metavar="WHEN", help="30d, P30D or 2027-01-31T00:00:00Z"
    )
    suspend = add_act(
        inner, "suspend", _suspend, "stop a key for a while", what="KEY_ID", needs_reason=True
    )
    until = suspend.add_mutually_exclusive_group()
    until.add_argument("--until", metavar="TIME", help="let it work again at 2027-01-31T00:00:00Z")
    until.add_argument("--for", dest="duration", metavar="DURATION", help="let it work again in 8h")
    text = "revoke a key and leave it out of lists; its history stays"
    add_act(inner, "delete", _delete, text, what="KEY_ID", needs_reason=True)
    import_ = add_change(inner, "import", _import, "store keys that others minted, by their hashes")
    import_.add_argument(
        "source", metavar="FILE", help="JSON list of keys, or one key a line; - is standard input"
    )
    import_.add_argument("--reason", default="", help="why, for the record")


def _add_rotate(inner: Verbs) -> None:
    text = "replace a key by one with the same settings; both work until the rotation ends"
    rotate = add_act(inner, "rotate", _rotate, text, what="KEY_ID", needs_reason=False)
    rotate.add_argument(
        "--grace", metavar="DURATION", help="how long the old key goes on; 0s stops it now"
    )
    rotate.add_argument(
        "--idle", metavar="DURATION", help="end earlier, once the old key was not used for so long"
    )
    rotate.add_argument(
        "--scope",
        action="append",
        help="what the new key may do, of what the old one may (default: all of it); repeat for several",
    )
    rotate.add_argument("--no-scopes", action="store_true", help="a new key that may do nothing")
    rotate.add_argument(
        "--ip",
        action="append",
        help="from where the new key works, within what the old one allows; repeat for several",
    )
    add_hand_over_options(rotate)


def _add_compromise(inner: Verbs) -> None:
    text = "revoke a key that others may know, replace it, and list what was done with it"
    parser = add_act(inner, "compromise", _compromise, text, what="KEY_ID", needs_reason=True)
    parser.add_argument(
        "--since",
        type=moments.moment,
        metavar="WHEN",
        help="when others may have come to know it: 36h ago or a time (default: its creation)",
    )
    parser.add_argument("--no-replacement", action="store_true", help="only stop the key")
    add_hand_over_options(parser, has_link=False)


async def act_on_key(
    verb: str, client: AdminClient, options: argparse.Namespace, printer: Printer
) -> None:
    """Do to a key what needs nothing but a reason."""
    await _act(verb, {}, client, options, printer)


async def _act(
    verb: str,
    body: dict[str, Any],
    client: AdminClient,
    options: argparse.Namespace,
    printer: Printer,
) -> None:
    path = f"/keys/{path_part(options.key_id)}:{verb}"
    printer.entry(await client.call("POST", path, {**body, "reason": options.reason}))


async def _rotate(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = {"reason": options.reason}
    if options.no_scopes and options.scope:
        raise WrongUsage("--scope and --no-scopes exclude each other")
    given = {
        "grace": options.grace,
        "idle": options.idle,
        "scopes": [] if options.no_scopes else options.scope,
        "ip_allowlist": options.ip,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    await mint(client, options, printer, f"/keys/{path_part(options.key_id)}:rotate", body)


async def _compromise(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = {"reason": options.reason, "with_replacement": not options.no_replacement}
    if options.since is not None:
        body["since"] = options.since
    await mint(client, options, printer, f"/keys/{path_part(options.key_id)}:compromise", body)


async def _extend(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    await _act("extend", moment("expires", options.expires), client, options, printer)


async def _suspend(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = {}
    if options.until is not None:
        body = {"resume_at": options.until}
    elif options.duration is not None:
        if not is_duration(options.duration):
            raise WrongUsage(f"--for {options.duration}: write 30m, 8h or P1D")
        body = {"resume_in": options.duration}
    await _act("suspend", body, client, options, printer)


async def _delete(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    path = f"/keys/{path_part(options.key_id)}"
    printer.entry(await client.call("DELETE", path, {"reason": options.reason}))


async def _import(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    keys = _read_keys(options.source)
    stored: list[dict[str, Any]] = []
    for start in range(0, len(keys), _BATCH):
        body = {"keys": keys[start : start + _BATCH], "reason": options.reason}
        stored += (await client.call("POST", "/keys:import", body))["data"]
    printer.entries(stored, _IMPORTED)
    printer.message(f"{len(stored)} key{'' if len(stored) == 1 else 's'} imported")


def _read_keys(source: str) -> list[Any]:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise WrongUsage(f"{source}: {error}") from error
    try:
        is_list = text.lstrip().startswith("[")
        keys = (
            json.loads(text)
            if is_list
            else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
    except ValueError as error:
        raise WrongUsage(f"{source}: is not JSON: {error}") from error
    if not keys:
        raise WrongUsage(f"{source}: there are no keys")
    return list(keys)
