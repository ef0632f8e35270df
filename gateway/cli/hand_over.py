"""How a verb that mints a key hands the secret over: printed once, in a file, or behind a link.

Knows the options for it and what is printed. It must not know how the key came about. A secret goes to standard output
or to a file that only its owner can read, never into an argument or a message.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.cli.client import AdminClient, WrongUsage
from gateway.cli.output import Printer
from gateway.cli.secret_file import SecretFile


def add_hand_over_options(parser: argparse.ArgumentParser, *, has_link: bool = True) -> None:
    """Add the options that say where the secret goes."""
    group = parser.add_argument_group("the secret")
    group.add_argument(
        "--secret-file",
        type=Path,
        metavar="PATH",
        help="write the secret to this new file (mode 0600) instead of printing it",
    )
    group.add_argument(
        "--export-name",
        metavar="NAME",
        help="variable in the `export` line of a table (default: the tenant's, else <FORMAT>_API_KEY)",
    )
    if has_link:
        group.add_argument(
            "--deliver-in",
            metavar="DURATION",
            help="print a link instead, with which the secret can be taken once within 1h, 7d or so",
        )


async def mint(
    client: AdminClient,
    options: argparse.Namespace,
    printer: Printer,
    path: str,
    body: Mapping[str, Any],
) -> None:
    """Send `body` to `path`, where a key is minted, and print the answer; its secret goes where it shall."""
    link_for = getattr(options, "deliver_in", None)
    if link_for is not None:
        if options.secret_file is not None:
            raise WrongUsage("--deliver-in and --secret-file exclude each other")
        body = {**body, "deliver_in": link_for}
    if options.secret_file is None:
        answer = await client.call("POST", path, body)
        secret = answer.get("secret") or ""
        _print(options, printer, answer, secret)
    else:
        # The file comes first: a secret that has nowhere to go would be lost.
        with SecretFile(options.secret_file) as file:
            answer = await client.call("POST", path, body)
            if answer.get("secret"):
                file.write(answer["secret"])
                kept = f"the secret is in {options.secret_file}; nobody can read it again elsewhere"
                printer.message(kept)
        _print(options, printer, answer, "")
    for warning in answer.get("warnings") or ():
        printer.message(f"warning: {warning}")


def _print(
    options: argparse.Namespace,
    printer: Printer,
    answer: Mapping[str, Any],
    secret: str,
) -> None:
    url = answer.get("delivery_url") or ""
    shown = _shown(answer, is_table=printer.form == "table")
    if printer.form != "table":
        extra = {"secret": secret, "delivery_url": url}
        printer.entry({**shown, **{name: text for name, text in extra.items() if text}})
    else:
        printer.entry(shown)
        if secret:
            name = options.export_name or answer["export_name"]
            printer.line("")
            printer.line(f"export {name}={shlex.quote(secret)}")
        elif url:
            printer.line("")
            printer.line(url)
    if secret:
        printer.message("the secret is shown this once: put it where you keep secrets")
    elif url:
        printer.message("the link works once: send it to whoever shall hold the key")


def _shown(answer: Mapping[str, Any], *, is_table: bool) -> dict[str, Any]:
    """Return what is printed besides the secret: of an answer about one thing only that thing."""
    members = {
        name: value
        for name, value in answer.items()
        if name not in ("secret", "delivery_url", "export_name", "warnings")
    }
    if "key" in members:  # a new key, and how far that has reached
        return dict(members["key"])
    if not is_table:
        return members
    lines: dict[str, Any] = {}
    for name in ("rotation", "incident"):
        lines |= members.get(name) or {}
    new, reach = members.get("new_key"), members.get("enforcement")
    if new:
        lines["display"] = new["display"]
    if reach:
        lines["acknowledged"] = f"{reach['acknowledged']}/{reach['of']}"
        lines["streams_closed"] = reach["streams_closed"]
    return lines
