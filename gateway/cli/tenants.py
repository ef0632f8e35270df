"""`tollhouse tenants`: creates, lists, changes, suspends and deletes the owners of keys.

Knows options and columns. It must not judge them: the gateway does, and its answer is printed.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, Final

from gateway.cli.client import AdminClient, WrongUsage
from gateway.cli.lists import Filter, Listing, add_list
from gateway.cli.options import (
    Verbs,
    add_act,
    add_change,
    add_object,
    add_verb,
    path_part,
)
from gateway.cli.output import Printer

_LIST: Final = Listing(
    path="/tenants",
    things="tenants",
    columns=(
        *("tenant_id", "parent_id", "name", "state", "plan", "ip_allowlist_enabled"),
        "created_at",
    ),
    filters=(
        Filter("--parent", "parent_id", "only the children of this tenant", "TENANT_ID"),
        Filter(
            "--state",
            "state",
            "only those in this state; deleted ones are listed only so",
            choices=("active", "suspended", "deleted"),
        ),
    ),
    sorts=("name", "created_at"),
)


def register(verbs: Verbs) -> None:
    """Add `tenants` and its verbs."""
    parser = verbs.add_parser(
        "tenants",
        help="create, list, change, suspend and delete the owners of keys",
        description="Create, list, change, suspend and delete the owners of keys.",
    )
    inner = parser.add_subparsers(dest="tenants_verb", metavar="VERB", required=True)
    create = add_change(inner, "create", _create, "create a tenant")
    create.add_argument("--id", default="", metavar="TENANT_ID", help="default: a new random id")
    create.add_argument("--name", required=True, help="name for people")
    create.add_argument(
        "--parent", default="", metavar="TENANT_ID", help="the tenant that it belongs to"
    )
    _add_settings(create)
    add_list(inner, _LIST, "list tenants")
    add_verb(inner, "show", _show, "show one tenant").add_argument("tenant_id", metavar="TENANT_ID")
    update = add_change(inner, "update", _update, "change some fields of a tenant; the others stay")
    update.add_argument("tenant_id", metavar="TENANT_ID")
    update.add_argument("--name", help="name for people")
    update.add_argument("--no-ip", action="store_true", help="empty the allowlist")
    _add_settings(update)
    for name, is_needed, text in (
        ("suspend", True, "stop all keys of a tenant for a while"),
        ("resume", False, "let the keys of a suspended tenant work again"),
    ):
        add_act(inner, name, partial(_move, name), text, what="TENANT_ID", needs_reason=is_needed)
    text = "delete a tenant for ever; its usage and audit stay, and its id is not used again"
    delete = add_act(inner, "delete", _delete, text, what="TENANT_ID", needs_reason=True)
    delete.add_argument(
        "--revoke-keys", action="store_true", help="revoke what has not ended of its keys"
    )
    delete.add_argument(
        "--delete-children", action="store_true", help="delete the tenants that belong to it first"
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ip", action="append", help="allowed address or network; repeat for several"
    )
    parser.add_argument(
        "--ip-allowlist",
        choices=("on", "off"),
        help="whether the allowlist is enforced; off keeps the list",
    )
    parser.add_argument(
        "--ip-allowlist-mode",
        choices=("enforce", "shadow"),
        help="shadow counts what the allowlist would refuse, and refuses nothing",
    )
    parser.add_argument(
        "--default-template",
        metavar="NAME",
        help="what keys are made from when nothing else is said",
    )
    parser.add_argument(
        "--export-name", metavar="NAME", help="variable that its customers keep a key in"
    )
    add_object(parser, "--alerts", "alert settings of its own")
    parser.add_argument("--plan", help="plan of the tenant and of its keys without one")
    add_object(parser, "--metadata", "JSON object")


async def _create(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = {"tenant_id": options.id, "name": options.name, **_settings(options)}
    if options.parent:
        body["parent_id"] = options.parent
    printer.entry(await client.call("POST", "/tenants", body))


async def _show(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    printer.entry(await client.call("GET", f"/tenants/{path_part(options.tenant_id)}"))


async def _update(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = _settings(options)
    if options.name is not None:
        body["name"] = options.name
    if options.no_ip:
        body["ip_allowlist"] = []
    if not body:
        raise WrongUsage("nothing to change: give at least one option such as --name")
    printer.entry(await client.call("PATCH", f"/tenants/{path_part(options.tenant_id)}", body))


async def _move(
    verb: str, client: AdminClient, options: argparse.Namespace, printer: Printer
) -> None:
    path = f"/tenants/{path_part(options.tenant_id)}:{verb}"
    printer.entry(await client.call("POST", path, {"reason": options.reason}))


async def _delete(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = {
        "reason": options.reason,
        "revoke_keys": options.revoke_keys,
        "delete_children": options.delete_children,
    }
    path = f"/tenants/{path_part(options.tenant_id)}"
    printer.entry(await client.call("DELETE", path, body))


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields that create and update share, as far as they were given."""
    given = {
        "ip_allowlist": options.ip,
        "ip_allowlist_mode": options.ip_allowlist_mode,
        "plan": options.plan,
        "default_template": options.default_template,
        "export_name": options.export_name,
        "alerts": options.alerts,
        "metadata": options.metadata,
    }
    body = {name: value for name, value in given.items() if value is not None}
    if options.ip_allowlist is not None:
        body["ip_allowlist_enabled"] = options.ip_allowlist == "on"
    return body
