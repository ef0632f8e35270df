"""Kinds of option values that several verbs read."""

from __future__ import annotations

import argparse
import json
import re
from functools import partial
from typing import Any

from gateway.cli.client import Act, WrongUsage, add_client_options, run
from gateway.cli.conditions import add_condition_options

Verbs = Any
"""What `add_subparsers` returns; argparse has no public name for it."""


def add_verb(verbs: Verbs, name: str, act: Act, text: str) -> argparse.ArgumentParser:
    """Add a verb that asks the gateway: `act` does it, `text` is its help."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        allow_abbrev=False,  # else `--secret X` would be read as `--secret-file X`
    )
    add_client_options(parser)
    parser.set_defaults(run=partial(run, act=act))
    return parser


def add_change(verbs: Verbs, name: str, act: Act, text: str) -> argparse.ArgumentParser:
    """Add a verb that changes something, with the conditions that it may be given."""
    parser = add_verb(verbs, name, act, text)
    add_condition_options(parser)
    return parser


def add_act(
    verbs: Verbs, name: str, act: Act, text: str, *, what: str, needs_reason: bool
) -> argparse.ArgumentParser:
    """Add a verb that does something to the record called `what`, with its reason."""
    parser = add_change(verbs, name, act, text)
    parser.add_argument(what.lower(), metavar=what)
    parser.add_argument("--reason", required=needs_reason, default="", help="why, for the record")
    return parser


def add_object(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    """Add an option whose value is a JSON object, called `text`, which an update merges (RFC 7396)."""
    helped = f"{text}; an update merges it, and null removes a member"
    parser.add_argument(name, type=json_object, metavar="JSON", help=helped)


def is_duration(text: str) -> bool:
    """Tell whether `text` is meant as a duration, and not as a time."""
    return text.startswith("P") or re.fullmatch(r"[0-9]+[smhdw]", text) is not None


def moment(name: str, when: str) -> dict[str, str]:
    """Return the member of a body that says `when`: `<name>_in` for a duration, else `<name>_at`."""
    return {f"{name}_in" if is_duration(when) else f"{name}_at": when}


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`, for argparse."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON object")
    return value


def positive(text: str) -> int:
    """Return the number in `text`, which is at least 1, for argparse."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError("must be a number from 1 on")
    return int(text)


def path_part(text: str) -> str:
    """Return the id in `text` as a segment of a URL path. Raises `WrongUsage` for what is no id."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text) is None:
        raise WrongUsage("an id has up to 64 letters, digits, '.', '_' and '-'; a secret is no id")
    return text
