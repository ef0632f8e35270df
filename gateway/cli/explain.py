"""`tollhouse explain`: tells what would become of a request, step by step, without sending it.

Knows options, and how a trace is laid out for a person. What is told, the running gateway says.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from gateway.cli.client import AdminClient, WrongUsage, add_client_options, run
from gateway.cli.options import Verbs
from gateway.cli.output import Printer


def register(verbs: Verbs) -> None:
    """Add `explain`."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "explain",
        help="tell what would become of a request",
        description="Tell what would become of a request, by the rules that the running gateway judges by. Nothing is "
        "sent, counted or drawn.",
        allow_abbrev=False,
    )
    parser.add_argument("method", metavar="METHOD", help="method of the request, such as GET")
    parser.add_argument("url", metavar="URL", help="URL or path, such as /v1/jobs?limit=2")
    parser.add_argument("--key-id", default="", help="id of the key that it bears (default: none)")
    parser.add_argument(
        "--ip",
        default="",
        metavar="ADDRESS",
        help="address that it comes from; behind a declared proxy the proxy's, with --header (default: a unix socket)",
    )
    add_header_option(parser)
    add_client_options(parser, has_offline=False)
    parser.set_defaults(run=lambda options: run(options, _explain))


def add_header_option(parser: argparse.ArgumentParser) -> None:
    """Add `--header`."""
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="FIELD",
        help="header field of the request, as 'Name: value'",
    )


def read_headers(fields: list[str]) -> dict[str, list[str]]:
    """Return the values by name. Raises `WrongUsage` for what is no field."""
    headers: dict[str, list[str]] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon or not name.strip():
            raise WrongUsage("--header is written as 'Name: value'")
        headers.setdefault(name.strip(), []).append(value.strip())
    return headers


async def _explain(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    body = {
        "method": options.method,
        "url": options.url,
        "key_id": options.key_id,
        "client_address": options.ip,
        "headers": read_headers(options.header),
    }
    told = await client.call("POST", "/explain", body)
    if printer.form != "table":
        printer.entry(told)
        return
    printer.entries([_row(step) for step in told["steps"]], ("step", "result", "facts"))
    printer.line("")
    for found in told["shadow"]:
        policy = f" of {found['policy']}" if found["policy"] else ""
        printer.line(f"in shadow mode: {found['rule']}{policy} would refuse ({found['reason']})")
    printer.line(_verdict(told))
    for name, value in told["headers"]:
        printer.line(f"  {name}: {value}")
    if told["body"]:
        printer.line(f"  {told['body']}" if told["body"].isprintable() else "  (a body)")


def _row(step: Mapping[str, Any]) -> dict[str, Any]:
    facts = [
        f"{name}={_said(value)}" for name, value in step["facts"].items() if value not in _UNSAID
    ]
    return {"step": step["step"], "result": step["result"], "facts": " ".join(facts)}


_UNSAID: Final[tuple[Any, ...]] = (None, "", [], {})


def _said(value: Any) -> str:
    """Say one fact in a word or some."""
    if isinstance(value, list):
        return f"[{', '.join(map(_said, value))}]"
    if isinstance(value, dict):
        return " ".join(
            f"{name}={_said(each)}" for name, each in value.items() if each not in _UNSAID
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _verdict(told: Mapping[str, Any]) -> str:
    if told["verdict"] == "forward":
        return "forward: the upstream answers, and the gateway adds"
    why = f" ({told['reason']})" if told["reason"] else ""
    return f"{told['verdict']}: {told['status']}{why}"
