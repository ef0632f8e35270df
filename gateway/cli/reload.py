"""`tollhouse reload` and `tollhouse rollback`: lets the running gateway take its changed configuration, say what it
would take, or take the one from before again.

Knows how the answer is printed. The gateway reads its own files and decides; this reads the configuration only to know
whom to ask.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from gateway.cli.client import AdminClient, Rejected, add_client_options, run
from gateway.cli.options import Verbs
from gateway.cli.output import Printer
from gateway.config.problems import ConfigErrors, Problem

_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}


def register(verbs: Verbs) -> None:
    """Add the verbs."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "reload",
        help="take a changed configuration without a restart",
        description="Let the running gateway take its changed configuration, as a whole or not at all. Prints what has"
        " changed and what waits for a restart; exits with 1, and names every mistake, when it is refused.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--check", action="store_true", help="only say what would change: nothing is taken"
    )
    add_client_options(parser, has_offline=False)
    parser.set_defaults(run=partial(run, act=_reload, tell=tell_mistakes))
    parser = verbs.add_parser(
        "rollback",
        help="take the configuration from before the last change again",
        description="Let the running gateway take the configuration again that was in force before the last change."
        " That is found after a restart as well, unless a secret stands in its text. It holds until the files change"
        " again, or somebody reloads; a restart begins with the files.",
        allow_abbrev=False,
    )
    parser.add_argument("--reason", required=True, help="why, for the record")
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")
    add_client_options(parser, has_offline=False)
    parser.set_defaults(run=partial(run, act=_roll_back, tell=tell_mistakes))


async def _reload(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    verb = "check" if options.check else "reload"
    try:
        answer = await client.call("POST", f"/config:{verb}")
    except Rejected as error:
        print_refusal(error.problem.get("problems", ()), printer)
        raise
    _print(answer, printer)


async def _roll_back(client: AdminClient, options: argparse.Namespace, printer: Printer) -> None:
    answer = await client.call("POST", "/config:rollback", {"reason": options.reason})
    _print(answer, printer)
    if answer["result"] == "rolled_back":
        printer.message(
            f"that is {_which(answer)} again; the files were not changed, and a restart would begin with them: correct"
            " them"
        )


def _which(answer: Mapping[str, Any]) -> str:
    version = f" (version {answer['version'][:12]})" if answer["version"] else ""
    if answer["again"]:
        return f"generation {answer['again']}, in force since {answer['taken_at']}{version}"
    return f"the configuration from before the start, in force since {answer['taken_at']}{version}"


def _print(answer: Mapping[str, Any], printer: Printer) -> None:
    if printer.form != "table":
        printer.entry(answer)
        return
    for change in answer["changes"]:
        printer.line(f"{_SIGNS[change['change']]} {change['path']}")
    for path in answer["restart"]:
        printer.line(f"! {path}: keeps its value until a restart")
    printer.message(_summary(answer))


def _summary(answer: Mapping[str, Any]) -> str:
    changes = len(answer["changes"])
    what = f"{changes} change{'' if changes == 1 else 's'}" if changes else "nothing has changed"
    if answer["result"] == "checked":
        return f"{what}; generation {answer['generation']} is in force, nothing was taken"
    return f"{what}; generation {answer['generation']} is in force"


def tell_mistakes(errors: ConfigErrors, printer: Printer) -> None:
    """Say what is wrong with the file that was to tell whom to ask: the gateway would refuse it as well."""
    print_refusal(map(asdict, errors.problems), printer)
    printer.message("tollhouse: the configuration has mistakes, so the gateway was not asked")


def print_refusal(problems: Iterable[Mapping[str, Any]], printer: Printer) -> None:
    """Print mistakes as the answer to whoever wanted another configuration."""
    found = list(problems)
    if printer.form != "table":
        printer.entry({"result": "refused", "problems": found})
        return
    for problem in found:
        printer.line(str(Problem(**problem)))
