"""`tollhouse report`: what the request log, the records of keys and their usage add up to.

Knows options and columns. What is reported, the running gateway says.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from gateway.cli.client import Act, AdminClient, add_client_options, run
from gateway.cli.options import Verbs, positive
from gateway.cli.output import Printer

_COLUMNS: Final = (
    *("rule", "reason", "key_id", "route", "client_address"),
    *("requests", "first_seen", "last_seen"),
)
_HYGIENE: Final = (
    *("key_id", "name", "tenant_id", "environment", "state", "last_used_at", "findings"),
)
_FLAWS: Final = (
    *("idle", "never_expires", "unlimited", "rotation_overdue", "many_networks"),
    *("client_side_use", "old_pepper"),
)
_PRIVILEGE: Final = ("key_id", "name", "requests", "used", "unused", "networks", "tighter")
_SINCE: Final = "since when: an RFC 3339 time, or how long ago (default: %(default)s)"


def register(verbs: Verbs) -> None:
    """Add `report` and its verbs."""
    parser = verbs.add_parser(
        "report",
        help="report from the request log, from keys and their usage",
        description="Report what the request log, the records of keys and their usage add up to.",
    )
    inner = parser.add_subparsers(dest="report_verb", metavar="VERB", required=True)
    _add_would_block(inner)
    _add_hygiene(inner)
    _add_least_privilege(inner)


def _add_report(inner: Verbs, name: str, act: Act, text: str) -> argparse.ArgumentParser:
    report: argparse.ArgumentParser = inner.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        allow_abbrev=False,
    )
    add_client_options(report, has_offline=False)
    report.set_defaults(run=partial(run, act=act))
    return report


def _add_would_block(inner: Verbs) -> None:
    text = "what rules in shadow mode would have refused, by rule, key, route and client address"
    report = _add_report(inner, "would-block", _would_block, text)
    report.add_argument("--since", default="24h", metavar="TIME", help=_SINCE)
    report.add_argument("--key-id", help="only requests with this key")
    report.add_argument("--tenant-id", help="only requests with keys of this tenant")
    report.add_argument("--route", metavar="NAME", help="only requests on this route")


def _add_hygiene(inner: Verbs) -> None:
    text = (
        "keys that are idle, eternal, unlimited, overdue for rotation, used from many networks or in browsers, "
        "or hashed under an old pepper"
    )
    report = _add_report(inner, "hygiene", _hygiene, text)
    _add_asked(report)
    report.add_argument(
        "--idle",
        default="30d",
        metavar="DURATION",
        help="how long a key is not used until it is idle (default: %(default)s)",
    )
    report.add_argument(
        "--networks",
        type=positive,
        default=10,
        metavar="NUMBER",
        help="from how many networks a key may be used (default: %(default)s)",
    )
    report.add_argument("--finding", choices=_FLAWS, help="only keys with this flaw")


def _add_least_privilege(inner: Verbs) -> None:
    text = "what keys may do beside what they do, and how to make them tighter"
    report = _add_report(inner, "least-privilege", _least_privilege, text)
    _add_asked(report)
    report.add_argument("--key-id", help="only this key")


def _add_asked(report: argparse.ArgumentParser) -> None:
    report.add_argument("--since", default="30d", metavar="TIME", help=_SINCE)
    report.add_argument("--tenant-id", help="only keys of this tenant")
    report.add_argument("--environment", help="only keys of this environment")
    report.add_argument(
        "--limit", type=positive, default=1000, help="most keys (default: %(default)s)"
    )


def _given(options: argparse.Namespace, *names: str) -> dict[str, str]:
    asked = {name: getattr(options, name) for name in names}
    return {name: str(value) for name, value in asked.items() if value}


async def _would_block(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    query = _given(options, "since", "key_id", "tenant_id", "route")
    report = await client.call("GET", "/reports/would-block", query=query)
    if printer.form != "table":
        printer.entry(report)
        return
    printer.entries(report["data"], _COLUMNS)
    if not report["is_complete"]:
        printer.message(
            "there is more in the request log than was read: ask for less, with --since"
        )


async def _hygiene(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    asked = ("since", "tenant_id", "environment", "idle", "networks", "finding")
    query = _given(options, *asked)
    keys, has_more = await client.entries("/reports/hygiene", query, options.limit)
    if printer.form == "table":
        keys = [{**key, "findings": [_told(each) for each in key["findings"]]} for key in keys]
    printer.entries(keys, _HYGIENE)
    _tell_of_more(has_more, options, printer)


async def _least_privilege(
    client: AdminClient, options: argparse.Namespace, printer: Printer
) -> None:
    query = _given(options, "since", "tenant_id", "environment", "key_id")
    keys, has_more = await client.entries("/reports/least-privilege", query, options.limit)
    printer.entries([_row(key) for key in keys] if printer.form == "table" else keys, _PRIVILEGE)
    _tell_of_more(has_more, options, printer)
    for key in keys if printer.form == "table" else ():
        if key["proposal"] is not None:
            printer.message(f"tighter: {_rotation(key)}")


def _tell_of_more(has_more: bool, options: argparse.Namespace, printer: Printer) -> None:
    if has_more:
        printer.message(f"more keys follow: --limit {options.limit} was reached")


def _told(finding: Mapping[str, Any]) -> str:
    about = finding["since"] or finding["count"]
    return finding["finding"] if about is None else f"{finding['finding']} ({about})"


def _row(key: Mapping[str, Any]) -> dict[str, Any]:
    proposal = key["proposal"] or {}
    return {
        **key,
        "used": key["scopes"]["used"],
        "unused": key["scopes"]["unused"],
        "networks": [each["network"] for each in key["networks"]],
        "tighter": [name for name in ("scopes", "ip_allowlist") if proposal.get(name) is not None],
    }


def _rotation(key: Mapping[str, Any]) -> str:
    """Return the command that carries the proposal out."""
    words = ["tollhouse", "keys", "rotate", key["key_id"]]
    scopes = key["proposal"]["scopes"]
    words += ["--no-scopes"] if scopes == [] else []
    words += [word for scope in scopes or () for word in ("--scope", scope)]
    addresses = key["proposal"]["ip_allowlist"]
    words += [word for entry in addresses or () for word in ("--ip", entry)]
    return shlex.join(words)
