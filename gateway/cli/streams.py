"""`tollhouse streams`: shows who is connected to the running gateway right now.

Knows options and columns. What is open, the gateway says.
"""

from __future__ import annotations

from typing import Final

from gateway.cli.lists import Filter, Listing, add_list
from gateway.cli.options import Verbs

_LIST: Final = Listing(
    path="/streams",
    things="streams",
    columns=(
        *("since", "kind", "key_id", "tenant_id", "route", "client_address"),
        *("request_bytes", "response_bytes", "stream_id"),
    ),
    filters=(
        Filter("--key", "key_id", "only streams of this key", "KEY_ID"),
        Filter(
            "--lineage",
            "lineage_id",
            "only streams of a key and of those it replaced",
            "LINEAGE_ID",
        ),
        Filter("--tenant", "tenant_id", "only streams of this tenant", "TENANT_ID"),
        Filter("--route", "route", "only streams on this route", "NAME"),
        Filter(
            "--kind", "kind", "websocket, tunnel, sse, download, upload or long_poll; default: all"
        ),
    ),
)


def register(verbs: Verbs) -> None:
    """Add `streams` and its verb."""
    parser = verbs.add_parser(
        "streams",
        help="show the streams that are open",
        description="Show the tunnels, event streams, transfers and long polls that are open.",
    )
    inner = parser.add_subparsers(dest="streams_verb", metavar="VERB", required=True)
    add_list(inner, _LIST, "list what is open, the oldest first")
