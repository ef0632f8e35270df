"""`tollhouse leaks`: report tokens that were found where they do not belong, and list what was reported.

Knows options and columns, and that tokens come from a file or standard input, never from an argument. What is done
about a key is the gateway's to decide. `tollhouse keys scan` looks for keys.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from gateway.cli.client import AdminClient, WrongUsage
from gateway.cli.lists import Filter, Listing, add_list
from gateway.cli.options import Verbs, add_verb
from gateway.cli.output import Printer

_TOKENS_MAX: Final = 100
_RESULT: Final = (
    "result",
    "key_id",
    "token_id",
    "tenant_id",
    "display",
    "state",
    "done",
    "incident_id",
)

_LIST: Final = Listing(
    path="/leaks",
    things="leaks",
    columns=(
        "reported_at",
        "reported_by",
        "key_id",
        "token_id",
        "display",
        "state",
        "source",
        "url",
    ),
    filters=(
        Filter("--tenant", "tenant_id", "only those of this tenant", "TENANT_ID"),
        Filter("--key", "key_id", "only those of this key", "KEY_ID"),
    ),
)


def register(verbs: Verbs) -> None:
    """Add `leaks` and its verbs."""
    parser = verbs.add_parser(
        "leaks",
        help="report keys that were found where they do not belong",
        description="Report keys that were found where they do not belong, and list what was reported. `tollhouse keys"
        " scan` looks for keys.",
    )
    inner = parser.add_subparsers(dest="leaks_verb", metavar="VERB", required=True)
    add_list(inner, _LIST, "list the leaks that were reported, the latest first")
    text = "say which keys tokens are, and do about them what `policies.leaks` says"
    report = add_verb(inner, "report", _report, text)
    report.add_argument(
        "--from",
        dest="tokens",
        type=Path,
        metavar="PATH",
        help="file with the tokens, one a line, at most 100 (default: standard input)",
    )
    report.add_argument("--url", default="", help="where they were found")
    report.add_argument("--source", default="", help="who found them, such as github")
    report.add_argument("--since", metavar="TIME", help="since when they were there")
    report.add_argument("--reason", default="", help="why, for the record")
    report.add_argument(
        "--dry-run",
        action="store_true",
        help="only say which keys they are: nothing is told or done",
    )


async def _report(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    tokens = [line.strip() for line in _read(options.tokens).splitlines() if line.strip()]
    if not 1 <= len(tokens) <= _TOKENS_MAX:
        raise WrongUsage(f"give 1 to {_TOKENS_MAX} tokens, one a line")
    where: dict[str, Any] = {"url": options.url, "source": options.source}
    if options.since:
        where["since"] = options.since
    leaks = [{"token": token, **where} for token in tokens]
    answer = await client.call("POST", "/leaks", {"leaks": leaks, "reason": options.reason})
    if printer.form == "table":
        printer.entries(answer["leaks"], _RESULT)
    else:
        printer.entry(answer)
    for leak in answer["leaks"]:
        if leak["result"] == "admin_token":
            printer.message(
                f"revoke it: tollhouse admin tokens revoke {leak['token_id']} --reason TEXT"
            )


def _read(path: Path | None) -> str:
    if path is None:
        return sys.stdin.read()
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise WrongUsage(f"--from {path}: {error}") from error
