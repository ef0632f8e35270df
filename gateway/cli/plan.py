"""`tollhouse plan`: says what another configuration would do to routes, limits and upstreams, and to whom.

Knows how a plan is laid out for a person. What is planned, the running gateway says, or, of two files, `assembly`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from gateway.admin.config_wire import PlannedView
from gateway.assembly.planning import plan_between
from gateway.cli.client import (
    DONE,
    REFUSED,
    WRONG_USAGE,
    AdminClient,
    Rejected,
    add_client_options,
    run,
)
from gateway.cli.options import Verbs, positive
from gateway.cli.output import Printer
from gateway.cli.reload import print_refusal, tell_mistakes
from gateway.config.load import load
from gateway.config.problems import ConfigErrors
from gateway.config.reloading import ReloadRefused

_SIGNS: Final[Mapping[str, str]] = {"added": "+", "removed": "-", "changed": "~"}
_EFFECTS: Final[Mapping[str, str]] = {
    "shrinks": "lets through less",
    "grows": "lets through more",
    "changes": "is another limit",
}


def register(verbs: Verbs) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "plan",
        help="say what a changed configuration would do, and to whom",
        description="Say what a reload would do, without doing it: which routes, limits and upstreams change, which"
        " keys would lose or gain access and why, what waits for a restart. Of two files it says what a gateway that"
        " runs by the first would do with the second, and no gateway is asked.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="two configurations, the old one first"
    )
    parser.add_argument(
        "--first",
        type=positive,
        default=20,
        metavar="N",
        help="keys that are named, of those that lose and of those that gain (default: %(default)s)",
    )
    add_client_options(parser, has_offline=False)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if not options.files:
        return run(options, _plan, tell=tell_mistakes)
    printer = Printer(options.output)
    if len(options.files) != 2:
        printer.message("tollhouse: name two files, the old one first; none asks the gateway")
        return WRONG_USAGE
    old, new = options.files
    return _compare(old, new, options.first, printer)


async def _plan(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    query = {"limit": str(min(options.first, 1000))}
    try:
        _print(await client.call("POST", "/config:plan", query=query), printer)
    except Rejected as error:
        print_refusal(error.problem.get("problems", ()), printer)
        raise


def _compare(old: Path, new: Path, first: int, printer: Printer) -> int:
    try:
        before, after = load(old, os.environ), load(new, os.environ)
        planned = asyncio.run(plan_between(before, after, old, first=first))
    except ConfigErrors as error:
        print_refusal(map(asdict, error.problems), printer)
        return REFUSED
    except ReloadRefused as error:
        printer.message(f"tollhouse: it would be refused: {error}")
        return REFUSED
    _print(PlannedView.of_plan(planned).model_dump(mode="json"), printer)
    return DONE


# ---- for a person


def _print(plan: Mapping[str, Any], printer: Printer) -> None:
    if printer.form != "table":
        printer.entry(plan)
        return
    blocks = (
        ("routes", map(_route, plan["routes"])),
        ("upstreams", map(_upstream, plan["upstreams"])),
        ("limits", map(_limit, plan["limits"])),
        ("without a key", _shifts(plan["anyone"])),
        ("keys", _callers(plan["callers"])),
        ("other settings", _others(plan)),
        ("waiting for a restart", (f"! {path}" for path in plan["restart"])),
    )
    for title, lines in blocks:
        _block(title, [*lines], printer)
    printer.message(_summary(plan))


def _block(title: str, lines: Sequence[str], printer: Printer) -> None:
    if lines:
        printer.line(f"{title}:")
        for line in lines:
            printer.line(f"  {line}")


def _route(route: Mapping[str, Any]) -> str:
    said = [f"{_SIGNS[route['change']]} {route['name']}  {route['requests']}"]
    said += _listed("", route["keys"])
    said += _listed("needs now ", route["scopes_added"])
    said += _listed("needs no longer ", route["scopes_removed"])
    said += _listed("lets in now ", route["networks_added"])
    said += _listed("lets in no longer ", route["networks_removed"])
    said += ["OPEN TO EVERYBODY: it needs no key"] if route["opens"] else []
    said += ["needs a key now"] if route["closes"] else []
    return "; ".join(said)


def _upstream(upstream: Mapping[str, Any]) -> str:
    said = [f"{_SIGNS[upstream['change']]} {upstream['name']}"]
    said += _listed("", upstream["keys"])
    said += _listed("new: ", upstream["targets_added"])
    said += _listed("gone: ", upstream["targets_removed"])
    return "; ".join(said)


def _limit(limit: Mapping[str, Any]) -> str:
    before, after = limit["before"] or "no limit", limit["after"] or "no limit"
    count = _counted(limit["keys"], "key")
    return f"~ {limit['policy']} {_EFFECTS[limit['effect']]}: {before} -> {after} ({count})"


def _callers(callers: Mapping[str, Any]) -> Iterable[str]:
    if callers["losing"] or callers["gaining"]:
        looked_at = _counted(callers["keys"], "key")
        yield f"of {looked_at}, {callers['losing']} would lose and {callers['gaining']} gain access"
    for name, sign in (("losing", "-"), ("gaining", "+")):
        first = callers[f"first_{name}"]
        for caller in first:
            who = f"{caller['key_id']} ({caller['name']}, {caller['tenant_id']}, {caller['environment']})"
            yield f"{sign} {who}"
            for line in _shifts(caller):
                yield f"    {line}"
        if callers[name] > len(first):
            yield f"{sign} and {callers[name] - len(first)} more"


def _shifts(difference: Mapping[str, Any]) -> Iterable[str]:
    for shift in difference["losses"]:
        instead = f", which goes to {shift['after']} now" if _moves(shift) else ""
        yield f"- {shift['before']}{instead}: {_why(shift)}"
    for shift in difference["gains"]:
        instead = f", which went to {shift['before']}" if _moves(shift) else ""
        yield f"+ {shift['after']}{instead}: was {_why(shift)}"


def _moves(shift: Mapping[str, Any]) -> bool:
    return None not in (shift["before"], shift["after"]) and shift["before"] != shift["after"]


def _why(shift: Mapping[str, Any]) -> str:
    missing = f" ({', '.join(shift['missing'])})" if shift["missing"] else ""
    return f"{shift['reason']}{missing}"


def _others(plan: Mapping[str, Any]) -> Iterable[str]:
    """Yield the changes that no other part tells of."""
    told = ("routes[", "routes.", "upstreams.", "plans.")
    for change in plan["changes"]:
        if not change["path"].startswith(told):
            yield f"{_SIGNS[change['change']]} {change['path']}"


def _listed(before: str, names: Sequence[str]) -> list[str]:
    return [f"{before}{', '.join(names)}"] if names else []


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _summary(plan: Mapping[str, Any]) -> str:
    callers, changes = plan["callers"], len(plan["changes"])
    said = f"{_counted(changes, 'change')}; nothing was taken" if changes else "nothing has changed"
    if callers["unseen"]:
        return f"{said}; keys: {callers['unseen']}"
    return f"{said}; {_counted(callers['keys'], 'key')} looked at"
