"""`tollhouse alerts`: what is not as it should be, who looks after it, and whether anybody would be told.

Knows options and columns. When an alert fires, the gateway says.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from gateway.cli.client import Act, AdminClient, Rejected, WrongUsage
from gateway.cli.options import Verbs, add_verb, path_part, positive
from gateway.cli.output import Printer

_COLUMNS: Final = ("alert_id", "rule", "state", "severity", "fired_at", "resolved_at", "summary")
_RULES: Final = (
    *("rule", "enabled", "severity", "channels", "fire_after_seconds", "resolve_after_seconds"),
    "thresholds",
)
_MESSAGES: Final = (
    *("delivery_id", "channel", "state", "attempts", "due_at", "last_error", "subject"),
)
_TRIED: Final = ("channel", "delivered", "error")


def register(verbs: Verbs) -> None:
    """Add `alerts` and its verbs."""
    parser = verbs.add_parser(
        "alerts",
        help="look at alerts, acknowledge them, try channels",
        description="Look at alerts and acknowledge them, try the channels, send dead letters again.",
    )
    inner = parser.add_subparsers(dest="alerts_verb", metavar="VERB", required=True)
    listing = add_verb(inner, "list", _list, "list alerts, the newest first")
    listing.add_argument(
        "--state", help="pending, firing, acknowledged or resolved (default: all but pending)"
    )
    listing.add_argument("--rule", metavar="NAME", help="only those of this rule")
    listing.add_argument("--tenant", metavar="TENANT_ID", help="only those of this tenant")
    listing.add_argument("--key", metavar="KEY_ID", help="only those about this key")
    listing.add_argument(
        "--limit", type=positive, default=100, help="most alerts (default: %(default)s)"
    )
    show = add_verb(inner, "show", _show, "show one alert")
    show.add_argument("alert_id", metavar="ALERT_ID")
    ack = _add_act(inner, "ack", _ack, "say that somebody looks after an alert")
    ack.add_argument("alert_id", metavar="ALERT_ID")
    ack.add_argument("--reason", default="", help="why, for the record")
    test = _add_act(inner, "test", _test, "send a sample through a real channel")
    test.add_argument("channel", nargs="?", metavar="CHANNEL", help="a name of `channels`")
    test.add_argument("--rule", metavar="NAME", help="the channels of this rule instead")
    rules = add_verb(inner, "rules", _rules, "list the rules as they are set")
    rules.add_argument("--tenant", metavar="TENANT_ID", help="as this tenant has them")
    waiting = add_verb(inner, "deliveries", _deliveries, "list messages that are not delivered")
    waiting.add_argument("--state", help="waiting, or dead for what was given up")
    waiting.add_argument("--channel", metavar="CHANNEL", help="only those of this channel")
    waiting.add_argument(
        "--limit", type=positive, default=100, help="most messages (default: %(default)s)"
    )
    retry = _add_act(inner, "retry", _retry, "send a message again that was not delivered")
    retry.add_argument("delivery_id", metavar="DELIVERY_ID")


def _add_act(verbs: Verbs, name: str, act: Act, text: str) -> argparse.ArgumentParser:
    """Add a verb that does something; alerts and messages have no revision that it could depend on."""
    parser = add_verb(verbs, name, act, text)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done or refused; change nothing"
    )
    return parser


async def _list(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    asked = {
        "state": options.state,
        "rule": options.rule,
        "tenant_id": options.tenant,
        "key_id": options.key,
    }
    found, has_more = await client.entries("/alerts", _given(asked), options.limit)
    printer.entries(found, _COLUMNS)
    if has_more:
        printer.message(f"more alerts follow: --limit {options.limit} was reached")


async def _show(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    printer.entry(await client.call("GET", f"/alerts/{path_part(options.alert_id)}"))


async def _ack(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    path = f"/alerts/{path_part(options.alert_id)}:acknowledge"
    printer.entry(await client.call("POST", path, {"reason": options.reason}))


async def _test(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    if bool(options.channel) == bool(options.rule):
        raise WrongUsage("name either a channel or --rule")
    body = {"channel": options.channel} if options.channel else {"rule": options.rule}
    tried = (await client.call("POST", "/alerts:test", body))["channels"]
    printer.entries(tried, _TRIED)
    if not tried:
        raise Rejected({"detail": f"nobody is told of {options.rule}: it has no channel"})
    failed = [each["channel"] for each in tried if not each["delivered"]]
    if failed and not options.dry_run:
        raise Rejected({"detail": f"not delivered: {', '.join(failed)}"})


async def _rules(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    query = {"tenant_id": options.tenant} if options.tenant else {}
    printer.entries((await client.call("GET", "/alerts/rules", query=query))["data"], _RULES)


async def _deliveries(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    asked = {"state": options.state, "channel": options.channel}
    found, has_more = await client.entries("/alerts/deliveries", _given(asked), options.limit)
    printer.entries(found, _MESSAGES)
    if has_more:
        printer.message(f"more messages follow: --limit {options.limit} was reached")


async def _retry(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    path = f"/alerts/deliveries/{path_part(options.delivery_id)}:retry"
    printer.entry(await client.call("POST", path))


def _given(asked: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in asked.items() if value}
