"""`tollhouse admin`: the tokens of those who operate the gateway, the first one included.

Knows options and columns. It must not judge them: the gateway does, and its answer is printed. The secret of a new
token is printed once.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from gateway.cli.client import AdminClient, Rejected
from gateway.cli.lists import Filter, Listing, add_list
from gateway.cli.options import Verbs, add_act, add_change, add_verb, moment, path_part
from gateway.cli.output import Printer
from gateway.cli.secret_file import SecretFile
from gateway.domain.admin_tokens import Role

_TOKENS: Final = "/admin-tokens"
_LIST: Final = Listing(
    path=_TOKENS,
    things="tokens",
    columns=(
        *("token_id", "name", "role", "tenant_id", "display", "is_usable"),
        *("expires_at", "last_used_at"),
    ),
    filters=(Filter("--tenant", "tenant_id", "only those bound to this tenant", "TENANT_ID"),),
    sorts=("name", "created_at", "expires_at", "last_used_at"),
)


def register(verbs: Verbs) -> None:
    """Add `admin` and its verbs."""
    parser = verbs.add_parser(
        "admin",
        help="create, list and revoke the tokens of those who operate the gateway",
        description="Create, list and revoke the tokens of those who operate the gateway.",
    )
    inner = parser.add_subparsers(dest="admin_verb", metavar="VERB", required=True)
    text = "mint the first admin token, over the admin socket or --offline; it is shown this once"
    bootstrap = add_verb(inner, "bootstrap", _bootstrap, text)
    bootstrap.add_argument("--name", default="bootstrap", help="whose token it is")
    bootstrap.add_argument(
        "--force", action="store_true", help="also where an admin token exists already"
    )
    _add_hand_over(bootstrap)
    add_verb(inner, "whoami", _whoami, "tell as whom the gateway knows this command")
    tokens = inner.add_parser(
        "tokens",
        help="create, list and revoke admin tokens",
        description="Create, list and revoke admin tokens.",
    ).add_subparsers(dest="tokens_verb", metavar="VERB", required=True)
    create = add_change(tokens, "create", _create, "mint an admin token; it is shown this once")
    create.add_argument("--name", required=True, help="whose token it is")
    create.add_argument(
        "--role", required=True, choices=tuple(map(str, Role)), help="what it is for"
    )
    create.add_argument(
        "--tenant", metavar="TENANT_ID", help="bind it to this tenant and its children"
    )
    _add_hand_over(create)
    add_list(tokens, _LIST, "list admin tokens")
    text = "stop an admin token for ever"
    add_act(tokens, "revoke", _revoke, text, what="TOKEN_ID", needs_reason=True)


def _add_hand_over(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--expires", metavar="WHEN", help="30d, P30D or 2027-01-31T00:00:00Z (default: never)"
    )
    parser.add_argument(
        "--secret-file",
        type=Path,
        metavar="PATH",
        help="write the token to this new file (mode 0600) instead of printing it",
    )


async def _bootstrap(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    tokens, _ = await client.entries(_TOKENS, {}, 10_000)
    known = [each for each in tokens if _opens_everything(each)]
    if known and not options.force:
        token = f"{known[0]['token_id']} ({known[0]['display']})"
        detail = f"there is an admin token already: {token}; --force makes another one"
        raise Rejected({"detail": detail})
    await _mint(client, {"name": options.name, "role": str(Role.ADMIN)}, options, printer)


def _opens_everything(token: dict[str, Any]) -> bool:
    return token["role"] == Role.ADMIN.value and token["is_usable"] and not token["tenant_id"]


async def _create(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = {"name": options.name, "role": options.role, "tenant_id": options.tenant or ""}
    await _mint(client, body, options, printer)


async def _mint(
    client: AdminClient, body: dict[str, str], options: argparse.Namespace, printer: Printer
) -> None:
    if options.expires is not None:
        body |= moment("expires", options.expires)
    if getattr(options, "dry_run", False):
        printer.entry((await client.call("POST", _TOKENS, body))["token"])
        return
    if options.secret_file is None:
        answer = await client.call("POST", _TOKENS, body)
        printer.entry({**answer["token"], "secret": answer["secret"]})
        printer.message("the token is shown this once: put it where you keep secrets")
        return
    # The file comes first: a secret that has nowhere to go would be lost.
    with SecretFile(options.secret_file) as file:
        answer = await client.call("POST", _TOKENS, body)
        file.write(answer["secret"])
    printer.entry(answer["token"])
    printer.message(f"the token is in {options.secret_file}; nobody can read it again elsewhere")


async def _revoke(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    path = f"{_TOKENS}/{path_part(options.token_id)}:revoke"
    printer.entry(await client.call("POST", path, {"reason": options.reason}))


async def _whoami(client: AdminClient, _: argparse.Namespace, printer: Printer) -> None:
    printer.entry(await client.call("GET", "/whoami"))
