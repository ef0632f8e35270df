"""`tollhouse keys`: creates, lists, changes and ends API keys.

Knows options and columns. It must not judge them: the gateway does, and its answer is printed. The
secret of a new key is printed once; `whois` reads one from standard input.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway.cli import key_life, scan
from gateway.cli.client import AdminClient, WrongUsage
from gateway.cli.hand_over import add_hand_over_options, mint
from gateway.cli.key_life import act_on_key
from gateway.cli.lists import Filter, Listing, add_list
from gateway.cli.options import (
    Verbs,
    add_act,
    add_change,
    add_object,
    add_verb,
    moment,
    path_part,
)
from gateway.cli.output import Printer

_KINDS: Final = ("regular", "multi_tenant")
_LIST: Final = Listing(
    path="/keys",
    things="keys",
    columns=(
        *("key_id", "name", "tenant_id", "environment", "state", "display", "scopes"),
        *("expires_at", "last_used_at"),
    ),
    filters=(
        Filter("--tenant", "tenant_id", "only the keys of this tenant", "TENANT_ID"),
        Filter("--state", "state", "active, suspended, rotating, expired or revoked"),
        Filter("--environment", "environment", "only those of this environment"),
        Filter("--template", "template", "only those made from this template", "NAME"),
        Filter("--kind", "kind", "only those of this kind", choices=_KINDS),
        Filter("--tag", "tag", "only those with this tag"),
        Filter("--lineage", "lineage_id", "only those of this lineage", "LINEAGE_ID"),
        Filter("--pepper", "pepper_id", "only those hashed under this pepper", "PEPPER_ID"),
        Filter("--search", "q", "part of a name, an id or a masked key", "TEXT"),
        Filter("--deleted", "with_hidden", "also those that were deleted", value="true"),
    ),
    sorts=("name", "created_at", "expires_at", "last_used_at"),
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
    add_list(inner, _LIST, "list keys")
    _add_update(inner)
    add_verb(inner, "show", _show, "show one key").add_argument("key_id", metavar="KEY_ID")
    resume = partial(act_on_key, "resume")
    add_act(
        inner, "resume", resume, "let a suspended key work again", what="KEY_ID", needs_reason=False
    )
    revoke = partial(act_on_key, "revoke")
    text = "stop a key for ever; this cannot be undone"
    add_act(inner, "revoke", revoke, text, what="KEY_ID", needs_reason=True)
    key_life.register(inner)
    scan.register(inner)
    whois = add_verb(inner, "whois", _whois, "tell which key a secret belongs to")
    whois.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="file with the secret (default: standard input)",
    )


def _add_create(inner: Verbs) -> None:
    parser = add_change(inner, "create", _create, "mint a key; its secret is shown this once")
    parser.add_argument("--tenant", required=True, metavar="TENANT_ID", help="who owns the key")
    parser.add_argument("--name", required=True, help="what the key is for")
    parser.add_argument("--environment", help="such as live or test")
    parser.add_argument("--template", help="take what is not given here from this template")
    parser.add_argument("--format", help="key format, when there are several")
    parser.add_argument(
        "--kind",
        choices=_KINDS,
        help="whom the key acts for: its tenant, or one of several that each request names",
    )
    parser.add_argument("--no-scopes", action="store_true", help="a key that may do nothing")
    _add_settings(parser)
    add_hand_over_options(parser)


def _add_update(inner: Verbs) -> None:
    parser = add_change(inner, "update", _update, "change some fields of a key; the others stay")
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
    parser.add_argument(
        "--ip-mode",
        choices=("enforce", "shadow"),
        help="shadow counts what the addresses would refuse, and refuses nothing",
    )
    parser.add_argument(
        "--acts-for",
        action="append",
        metavar="TENANT_ID",
        help=f"tenant that a multi-tenant key may act for{repeat}",
    )
    parser.add_argument("--tag", action="append", help=f"tag{repeat}")
    parser.add_argument("--plan", help="plan of the config; '' for the tenant's")
    parser.add_argument("--expires", metavar="WHEN", help=f"{_WHEN}; never")
    add_object(parser, "--metadata", "JSON object")


async def _create(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = _settings(options)
    if body.get("expires_at", "") is None:
        raise WrongUsage("--expires never: leave --expires out")
    body["tenant_id"] = options.tenant
    named = ("name", "environment", "template", "format", "kind")
    body |= {name: value for name in named if (value := getattr(options, name)) is not None}
    await mint(client, options, printer, "/keys", body)


async def _show(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    printer.entry(await client.call("GET", f"/keys/{path_part(options.key_id)}"))


async def _update(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = _settings(options)
    if options.name is not None:
        body["name"] = options.name
    for is_wanted, name in ((options.no_ip, "ip_allowlist"), (options.no_tags, "tags")):
        if is_wanted:
            body[name] = []
    if not body:
        raise WrongUsage("nothing to change: give at least one option such as --name")
    printer.entry(await client.call("PATCH", f"/keys/{path_part(options.key_id)}", body))


async def _whois(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    secret = _read_secret(options.source).strip()
    if not secret:
        raise WrongUsage("give the secret on standard input or with --from")
    printer.entry(await client.call("POST", "/keys:lookup", {"secret": secret}))


def _read_secret(source: Path | None) -> str:
    if source is None:
        return getpass.getpass("secret: ") if sys.stdin.isatty() else sys.stdin.read()
    try:
        return source.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise WrongUsage(f"--from {source}: {error}") from error


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields that create and update share, as far as they were given."""
    given = {
        "scopes": [] if options.no_scopes else options.scope,
        "ip_allowlist": options.ip,
        "ip_allowlist_mode": options.ip_mode,
        "tenants": options.acts_for,
        "tags": options.tag,
        "plan": options.plan,
        "metadata": options.metadata,
    }
    body = {name: value for name, value in given.items() if value is not None}
    if options.no_scopes and options.scope:
        raise WrongUsage("--scope and --no-scopes exclude each other")
    if options.expires is not None:
        body |= _expiry(options.expires)
    return body


def _expiry(when: str) -> dict[str, str | None]:
    return {"expires_at": None} if when == "never" else {**moment("expires", when)}
