"""`tollhouse ip-test`: tells what the address rules say to an address, and whom a new list would refuse.

Knows options and columns. What the rules say, the running gateway says.
"""

from __future__ import annotations

import argparse

from gateway.cli.client import AdminClient, add_client_options, run
from gateway.cli.explain import add_header_option, read_headers
from gateway.cli.options import Verbs
from gateway.cli.output import Printer


def register(verbs: Verbs) -> None:
    """Add `ip-test`."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "ip-test",
        help="tell what the address rules say to an address",
        description="Tell what the address rules in force say to an address, how it was found, and, with --allow, whom "
        "a new list would refuse of those who came lately.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "address",
        nargs="?",
        default="",
        metavar="ADDRESS",
        help="address of a client (default: your own)",
    )
    parser.add_argument(
        "--peer",
        default="",
        metavar="ADDRESS",
        help="instead the other end of a connection, which may be a declared proxy; with --header",
    )
    add_header_option(parser)
    parser.add_argument("--key-id", default="", help="ask the lists of this key and its tenant")
    parser.add_argument("--tenant-id", default="", help="ask the list of this tenant")
    parser.add_argument("--route", default="", metavar="NAME", help="ask the list of this route")
    parser.add_argument(
        "--allow",
        action="append",
        metavar="NETWORK",
        help="an entry of a list that the key or tenant might get: tell whom it would refuse",
    )
    parser.add_argument(
        "--since",
        default="24h",
        metavar="TIME",
        help="since when clients count (default: %(default)s)",
    )
    add_client_options(parser, has_offline=False)
    parser.set_defaults(run=lambda options: run(options, _test))


async def _test(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = {
        "address": options.address,
        "peer_address": options.peer,
        "headers": read_headers(options.header),
        "key_id": options.key_id,
        "tenant_id": options.tenant_id,
        "route": options.route,
        "allow": options.allow,
        "since": options.since,
    }
    told = await client.call("POST", "/ip-test", body)
    if printer.form != "table":
        printer.entry(told)
        return
    tested, preview = told["tested"], told["preview"]
    verdict = "is let in" if told["is_allowed"] else "is refused"
    printer.line(f"{tested['address'] or 'unix socket'} {verdict}: {tested['derivation']}")
    printer.entries(told["rules"], ("rule", "mode", "is_allowed", "network"))
    if preview is not None:
        printer.line("")
        printer.entries(preview["would_block"], ("client_address", "requests", "last_seen"))
        for warning in preview["warnings"]:
            printer.message(warning)
        if not preview["is_complete"]:
            printer.message("there is more in the request log than was read")
