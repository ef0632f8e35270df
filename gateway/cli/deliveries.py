"""`tollhouse deliveries`: the links with which secrets are taken, and whether they were used.

Knows options and columns. The links themselves are nowhere.
"""

from __future__ import annotations

from typing import Final

from gateway.cli.lists import Filter, Listing, add_list
from gateway.cli.options import Verbs

_LIST: Final = Listing(
    path="/deliveries",
    things="links",
    columns=(
        *("delivery_id", "tenant_id", "key_id", "state", "created_at", "expires_at"),
        *("redeemed_at", "redeemed_from"),
    ),
    filters=(
        Filter("--tenant", "tenant_id", "only those of this tenant", "TENANT_ID"),
        Filter("--key", "key_id", "only those of this key", "KEY_ID"),
    ),
    sorts=("created_at", "expires_at", "redeemed_at"),
)


def register(verbs: Verbs) -> None:
    """Add `deliveries` and its verb."""
    parser = verbs.add_parser(
        "deliveries",
        help="list the one-time links of keys",
        description="List the one-time links with which the secrets of keys are taken.",
    )
    inner = parser.add_subparsers(dest="deliveries_verb", metavar="VERB", required=True)
    add_list(inner, _LIST, "list links, and who has used them")
