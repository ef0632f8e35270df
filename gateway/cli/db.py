"""`tollhouse db`: copies the key store while it is in use, puts a copy in its place, rebuilds and migrates it.

Knows options, and what is told of each act. These work on the file itself, not through a gateway: one that does not
start is why they are needed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway.assembly.restoring import restore
from gateway.cli import migrate_to, snapshot
from gateway.cli.options import Verbs
from gateway.cli.output import Printer, add_output_option
from gateway.cli.statuses import DONE, REFUSED
from gateway.config import model
from gateway.config.load import load
from gateway.config.places import anchored
from gateway.config.problems import ConfigErrors
from gateway.domain.change import Actor, Order
from gateway.domain.key_rules import Refused, require_reason
from gateway.stores import sqlite_copies
from gateway.stores.sqlite_copies import CannotCopy
from gateway.stores.sqlite_lock import InUse, alone

Act = Callable[[model.Config, argparse.Namespace, Printer], None]

_ELSEWHERE: Final = (
    "keep as well, in another place: the peppers (no key works without them), the configuration, and audit.key with"
    " audit.pub"
)

_A_DATABASE: Final = (
    "the keys are in a database (`store.url`), which has tools of its own: pg_dump, pg_restore. A gateway that starts"
    " brings it to its schema"
)


def register(verbs: Verbs) -> None:
    """Add `db` and its verbs."""
    parser = verbs.add_parser(
        "db",
        help="back up, restore, rebuild and migrate the key store",
        description="Back up, restore, rebuild and migrate the file of the key store.",
    )
    inner = parser.add_subparsers(dest="db_verb", metavar="VERB", required=True)
    backup = _add(
        inner,
        "backup",
        _back_up,
        "write a copy of the store, also while a gateway runs, and check it",
    )
    backup.add_argument("target", type=Path, metavar="FILE", help="a new file")
    restoring = _add(
        inner,
        "restore",
        _restore,
        "put a copy in the place of the store; what was revoked since stays revoked. No gateway may run",
    )
    restoring.add_argument("source", type=Path, metavar="FILE", help="what `db backup` wrote")
    restoring.add_argument("--reason", required=True, help="why, for the record")
    restoring.add_argument(
        "--with-new-keys",
        action="store_true",
        help="take over the keys and tenants that were made since, as the store or its snapshot knows them",
    )
    _add(inner, "vacuum", _rebuild, "give back the room of deleted records. No gateway may run")
    _add(
        inner,
        "migrate",
        _migrate,
        "bring the store to the schema of this program, as a start does. No gateway may run",
    )
    migrate_to.add(inner)
    snapshot.add(inner)


def _add(verbs: Verbs, name: str, act: Act, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("config.yaml"),
        help="configuration that names the store (default: %(default)s)",
    )
    add_output_option(parser)
    parser.set_defaults(run=partial(_run, act))
    return parser


def _run(act: Act, options: argparse.Namespace) -> int:
    printer = Printer(options.output)
    try:
        act(load(options.config, os.environ), options, printer)
    except ConfigErrors as error:
        printer.message(str(error))
        return REFUSED
    except (CannotCopy, InUse, Refused, OSError) as error:
        printer.message(f"tollhouse: {error}")
        return REFUSED
    return DONE


def _store(config: model.Config, options: argparse.Namespace) -> Path:
    if config.store.url.get_secret_value():
        raise CannotCopy(_A_DATABASE)
    return anchored(options.config, config.store.path)


def _back_up(config: model.Config, options: argparse.Namespace, printer: Printer) -> None:
    started = time.monotonic()
    contents = sqlite_copies.back_up(_store(config, options), options.target)
    told: dict[str, Any] = {"file": str(options.target), **asdict(contents)}
    printer.entry({**told, "seconds": round(time.monotonic() - started, 3)})
    printer.message(_ELSEWHERE)


def _restore(config: model.Config, options: argparse.Namespace, printer: Printer) -> None:
    require_reason(options.reason)
    order = Order(actor=Actor(kind="admin", name=f"uid:{os.getuid()}"), reason=options.reason)
    wanted = options.with_new_keys
    restored = asyncio.run(
        restore(config, options.config, options.source, order, with_new_keys=wanted)
    )
    stopped, taken = restored.stopped, restored.taken_over
    printer.entry(
        {
            "restored": str(options.source),
            **asdict(restored.contents),
            "stopped_again": None if stopped is None else asdict(stopped),
            "taken_over": None if taken is None else asdict(taken),
            "replaced": restored.kept or None,
        }
    )
    if wanted and taken is None:
        printer.message(
            "no key was taken over: neither the store that was replaced nor its snapshot can be believed"
        )
    if restored.is_taken_by_snapshot:
        printer.message(
            "the store that was replaced is not sound, and its snapshot does not know rotations: an old key whose"
            " rotation was begun since works on until you revoke it"
        )
    if taken is not None and taken.links_left:
        printer.message(
            f"{taken.links_left} links that hand over a secret were made since the backup and are not in it: a key that"
            " nobody has the secret of is better rotated with another link"
        )
    if taken is not None and taken.admin_tokens_left:
        printer.message(
            f"{taken.admin_tokens_left} admin tokens were made since the backup and are not in it: nobody who went back"
            " in time should bring operators along unseen; create them again"
        )
    if stopped is None and restored.kept:
        printer.message(
            "WARNING: the store that was replaced could not be read: keys that were revoked since the backup work again"
        )
        return
    if restored.is_by_snapshot:
        printer.message(
            "the store that was replaced could not be read; keys and tenants were stopped again by its snapshot, but an"
            " admin token that was revoked since the backup works again"
        )
    if stopped is not None and stopped.lost:
        printer.message(
            f"{stopped.lost} keys that were made since the backup are not in it: they are refused from now on."
            " --with-new-keys takes them over"
        )


def _rebuild(config: model.Config, options: argparse.Namespace, printer: Printer) -> None:
    store = _store(config, options)
    with alone(store):
        before, after = sqlite_copies.rebuild(store)
    printer.entry({"file": str(store), "size_before": before, "size": after})


def _migrate(config: model.Config, options: argparse.Namespace, printer: Printer) -> None:
    store = _store(config, options)
    with alone(store):
        before, after = sqlite_copies.migrate(store)
    printer.entry({"file": str(store), "schema_before": before, "schema": after})
