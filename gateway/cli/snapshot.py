"""`tollhouse db snapshot`: what the snapshot of the keys holds, and whether a gateway would serve by it now.

Knows options and what is told. It reads the files themselves: it is for the day on which the store is broken.
"""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.assembly.snapshots import age_max, seals, snapshot_path, store_name
from gateway.cli.output import Printer, add_output_option
from gateway.cli.statuses import DONE, REFUSED
from gateway.config import model
from gateway.config.load import load
from gateway.config.problems import ConfigErrors
from gateway.control.clock import Moments, SystemClock
from gateway.domain.key_snapshots import Moment, doubt, elapsed
from gateway.stores.snapshots.reading import Snapshot
from gateway.stores.snapshots.sealing import Unusable


def add(verbs: Any) -> None:
    """Add the verb below `db`."""
    text = "show the snapshot of the keys, and whether a gateway would serve by it if its store broke now"
    parser: argparse.ArgumentParser = verbs.add_parser(
        "snapshot",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. Exits with 1 if it would not.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("config.yaml"),
        help="configuration that names the store (default: %(default)s)",
    )
    add_output_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    printer = Printer(options.output)
    try:
        config = load(options.config, os.environ)
    except ConfigErrors as error:
        printer.message(str(error))
        return REFUSED
    told = examined(config, options.config, Moments(SystemClock())())
    printer.entry(told)
    return DONE if told["valid"] else REFUSED


def examined(config: model.Config, path: Path, now: Moment) -> dict[str, Any]:
    """Return what there is to say of the snapshot: `valid`, or `why_not`."""
    place = snapshot_path(config, path)
    if place is None:
        return {
            "file": None,
            "valid": False,
            "why_not": "none is kept (store.snapshot, on_failure.keys)",
        }
    told: dict[str, Any] = {"file": str(place), "valid": False}
    try:
        with closing(Snapshot(place, lambda: seals(config), store_name(config, path))) as snapshot:
            stamp = snapshot.refresh()
            pages, journal = snapshot.pages, snapshot.journal
            why = doubt(stamp, now, age_max(config))
            return told | {
                "valid": not why,
                "why_not": why or None,
                "age_seconds": round(elapsed(stamp.moment, now), 1),
                "max_age_seconds": age_max(config),
                "revision": stamp.revision,
                "keys": pages.keys,
                "tenants": pages.tenants,
                "changes": journal.entries,
                "size": pages.size + journal.length,
            }
    except Unusable as error:
        return told | {"why_not": str(error)}
