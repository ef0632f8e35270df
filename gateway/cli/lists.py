"""Verbs that show a list: what it can be narrowed to, in which order, how much of it, and that there is more.

Knows how options become parameters of the admin API. What a list holds, its own module says.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from gateway.cli.client import Act, AdminClient
from gateway.cli.options import Verbs, add_verb, positive
from gateway.cli.output import Printer

LOOK_SECONDS: Final = 1.0
"""How often a list that is followed is looked at."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """An option, and the parameter that it becomes; with a `value` the option takes none of its own."""

    option: str
    parameter: str
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] | None = None
    value: str = ""
    type: Callable[[str], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list of the admin API: where it is, what is in it (in the plural), and what a table shows of that.

    `sorts` are the fields that it can be sorted by; `tabled` makes the row of a table.
    """

    path: str
    things: str
    columns: tuple[str, ...]
    filters: tuple[Filter, ...] = ()
    sorts: tuple[str, ...] = ()
    tabled: Callable[[Row], Row] = dict


def add_list(
    verbs: Verbs, listing: Listing, text: str, *, name: str = "list", limit: int = 1000
) -> argparse.ArgumentParser:
    """Add a verb that shows a list."""
    parser = add_verb(verbs, name, partial(_list, listing), text)
    add_filters(parser, listing.filters)
    if listing.sorts:
        parser.add_argument(
            "--sort", choices=listing.sorts, help="by this field, what has none last"
        )
        parser.add_argument("--reverse", action="store_true", help="from the greatest value on")
    add_limit(parser, listing.things, limit)
    return parser


def add_filters(parser: argparse.ArgumentParser, filters: Iterable[Filter]) -> None:
    """Add the options of filters; `asked` reads them."""
    for each in filters:
        if each.value:
            parser.add_argument(
                each.option,
                dest=each.parameter,
                action="store_const",
                const=each.value,
                help=each.help,
            )
            continue
        metavar = each.metavar or each.option.lstrip("-").replace("-", "_").upper()
        parser.add_argument(
            each.option,
            dest=each.parameter,
            metavar=None if each.choices else metavar,
            choices=each.choices,
            type=each.type,
            help=each.help,
        )


def add_tail(verbs: Verbs, listing: Listing, act: Act) -> None:
    """Add a verb that shows the end of a list, and with `--follow` what comes."""
    text = f"show the latest {listing.things}, and those that come"
    parser = add_verb(verbs, "tail", act, text)
    add_filters(parser, listing.filters)
    add_limit(parser, f"{listing.things} to begin with", 20)
    parser.add_argument("--follow", action="store_true", help="go on until interrupted")


def add_limit(parser: argparse.ArgumentParser, things: str, limit: int) -> None:
    """Add `--limit`."""
    text = f"most {things} (default: %(default)s)"
    parser.add_argument("--limit", type=positive, default=limit, help=text)


def asked(options: argparse.Namespace, filters: Iterable[Filter]) -> dict[str, str]:
    """Return the parameters that the options ask for."""
    given = {each.parameter: getattr(options, each.parameter, None) for each in filters}
    return {name: value for name, value in given.items() if value}


async def _list(
    listing: Listing, client: AdminClient, options: argparse.Namespace, printer: Printer
) -> None:
    query = asked(options, listing.filters)
    way = getattr(options, "sort", None)
    if way:
        query["sort"] = f"-{way}" if options.reverse else way
    await show(listing, query, client, options, printer)


async def show(
    listing: Listing,
    query: dict[str, str],
    client: AdminClient,
    options: argparse.Namespace,
    printer: Printer,
) -> None:
    """Print up to `options.limit` entries, and say if there are more."""
    found, has_more = await client.entries(listing.path, query, options.limit)
    printer.entries(rows_of(listing, found, printer), listing.columns)
    if has_more:
        printer.message(f"more {listing.things} follow: --limit {options.limit} was reached")


def rows_of(listing: Listing, entries: list[Row], printer: Printer) -> list[Row]:
    """Return entries as they are printed."""
    return [*map(listing.tabled, entries)] if printer.form == "table" else entries


async def follow(
    listing: Listing, begin: list[Row], look: Callable[[], Awaitable[list[Row]]], printer: Printer
) -> None:
    """Print what there is, and then, until interrupted, what each look finds."""
    flow = printer.flow(listing.columns)
    flow.add(rows_of(listing, begin, printer))
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        flow.add(rows_of(listing, await look(), printer))
