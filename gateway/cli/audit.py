"""`tollhouse audit`: reads, checks, exports and prunes the audit trail.

Knows options and columns. `verify FILE` needs no gateway: an export is checked by itself.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway.audit.export import lines_of, verify_export
from gateway.audit.signer import NotAKey, Verifier
from gateway.cli.client import (
    DONE,
    REFUSED,
    WRONG_USAGE,
    AdminClient,
    WrongUsage,
    add_client_options,
    run,
)
from gateway.cli.lists import (
    Filter,
    Listing,
    add_list,
    add_tail,
    asked,
    follow,
    rows_of,
)
from gateway.cli.moments import moment
from gateway.cli.options import Verbs, add_verb
from gateway.cli.output import Printer


def _tabled(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "actor": record["actor"]["name"]}


_TAIL: Final = Listing(
    path="/audit",
    things="records",
    columns=("ts", "type", "actor", "tenant_id", "key_id", "reason", "id"),
    filters=(
        Filter("--key", "key_id", "only what happened to this key", "KEY_ID"),
        Filter("--tenant", "tenant_id", "only what happened to this tenant", "TENANT_ID"),
        Filter("--type", "type", "only this event, or a family: key.*", "EVENT"),
        Filter("--actor", "actor", "only what this actor did", "NAME"),
    ),
    tabled=_tabled,
)
_QUERY: Final = replace(
    _TAIL,
    filters=(
        *_TAIL.filters,
        Filter("--since", "since", "only later ones: a time, or 2h", "TIME", type=moment),
        Filter("--until", "until", "only earlier ones", "TIME", type=moment),
    ),
)


def register(verbs: Verbs) -> None:
    """Add `audit` and its verbs."""
    parser = verbs.add_parser(
        "audit",
        help="read, check and export the audit trail",
        description="Read, check and export the audit trail: who changed what, and why.",
    )
    inner = parser.add_subparsers(dest="audit_verb", metavar="VERB", required=True)
    add_list(inner, _QUERY, "search the trail, the newest record first", name="query", limit=100)
    add_tail(inner, _TAIL, _tail)
    _add_verify(inner)
    export = add_verb(inner, "export", _export, "write the trail as a file that can be verified")
    export.add_argument(
        "--since", type=moment, metavar="TIME", help="from the checkpoint before on"
    )
    export.add_argument("--file", type=Path, metavar="PATH", help="a new file (default: stdout)")
    export.add_argument("--reason", default="", help="why, for the record")
    prune = add_verb(inner, "prune", _prune, "remove old records, up to a checkpoint")
    prune.add_argument(
        "--before", type=moment, required=True, metavar="TIME", help="a time, or how old: 365d"
    )
    prune.add_argument("--reason", required=True, help="why, for the record")
    prune.add_argument("--dry-run", action="store_true", help="only say what would leave")


def _add_verify(verbs: Verbs) -> None:
    text = "check the trail, or an export of it, record by record"
    parser = verbs.add_parser(
        "verify",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. Exit status 1: it was changed.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="an export; no gateway is asked then"
    )
    parser.add_argument(
        "--public-key",
        type=Path,
        metavar="PATH",
        help="believe these keys only, for FILE (audit.pub; default: those that it names)",
    )
    add_client_options(parser)
    parser.set_defaults(run=_verify)


async def _tail(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    query = asked(options, _TAIL.filters)
    begin, _ = await client.entries(_TAIL.path, query, options.limit)
    begin.reverse()
    if not options.follow:
        printer.entries(rows_of(_TAIL, begin, printer), _TAIL.columns)
        return
    latest = begin[-1]["id"] if begin else ""

    async def look() -> list[dict[str, Any]]:
        nonlocal latest
        place = {"cursor": latest} if latest else {}
        found, _ = await client.entries(_TAIL.path, {**query, "order": "oldest", **place}, 1000)
        latest = found[-1]["id"] if found else latest
        return found

    await follow(_TAIL, begin, look, printer)


async def _export(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    given = {"since": options.since, "reason": options.reason}
    query = {name: value for name, value in given.items() if value}
    if options.file is None:
        async for chunk in client.stream("/audit/export", query):
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    try:
        descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise WrongUsage(f"--file {options.file}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        async for chunk in client.stream("/audit/export", query):
            file.write(chunk)
    printer.message(f"wrote {options.file}; check it with `tollhouse audit verify {options.file}`")


async def _prune(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = {"before": options.before, "reason": options.reason}
    query = {"dry_run": "true"} if options.dry_run else None
    printer.entry(await client.call("POST", "/audit:prune", body, query))


# ---- the check


def _verify(options: argparse.Namespace) -> int:
    if options.file is not None:
        return _verify_file(options)
    if options.public_key is not None:
        print("tollhouse: --public-key is for the verification of a FILE", file=sys.stderr)
        return WRONG_USAGE
    found: dict[str, Any] = {}
    status = run(options, partial(_ask, found))
    return status or (DONE if found["result"] == "intact" else REFUSED)


async def _ask(
    found: dict[str, Any], client: AdminClient, _: argparse.Namespace, printer: Printer
) -> None:
    found |= await client.call("POST", "/audit:verify")
    _print_verification(found, printer)


def _verify_file(options: argparse.Namespace) -> int:
    printer = Printer(options.output)
    try:
        trusted = None
        if options.public_key is not None:
            trusted = Verifier.of_pem(options.public_key.read_bytes())
        with options.file.open("rb") as file:
            report, fingerprints = verify_export(lines_of(file), trusted)
    except NotAKey as error:
        printer.message(f"tollhouse: --public-key {options.public_key}: {error}")
        return WRONG_USAGE
    except OSError as error:
        printer.message(f"tollhouse: {error.filename}: {error.strerror}")
        return WRONG_USAGE
    fault = report.fault
    told = {
        "result": "intact" if fault is None else "changed",
        "records": report.records,
        "first_seq": report.first_seq,
        "last_seq": report.last_seq,
        "checkpoints": report.checkpoints,
        "signed_seq": report.signed_seq,
        "fingerprints": fingerprints,
        "fault": None
        if fault is None
        else {"kind": fault.kind, "seq": fault.seq, "detail": fault.text},
    }
    _print_verification(told, printer)
    if trusted is None and fault is None:
        printer.message(
            "the keys are those that the file names: compare the fingerprint with that of your gateway's audit.pub"
        )
    return DONE if fault is None else REFUSED


def _print_verification(told: dict[str, Any], printer: Printer) -> None:
    printer.entry(
        {name: value for name, value in told.items() if name != "fault"}
        if told["fault"] is None
        else told
    )
    fault = told["fault"]
    if fault is not None:
        printer.message(
            f"tollhouse: the audit trail was changed at record {fault['seq']}: {fault['detail']}"
        )
