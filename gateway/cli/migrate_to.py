"""`tollhouse db migrate-to`: from the file to a database.

Knows options, and where an address with a password may come from: a file or the environment, never an argument, which
every process of the machine can read. Moving needs no gateway, and none may run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any, Final

from gateway.assembly.errors import CannotStart
from gateway.assembly.moving import CannotMove, Move, move_store
from gateway.cli.client import DONE, REFUSED, UNREACHABLE, WRONG_USAGE, WrongUsage
from gateway.cli.options import Verbs
from gateway.cli.output import Printer, add_output_option
from gateway.config import model
from gateway.config.load import load
from gateway.config.problems import ConfigErrors
from gateway.domain.database_address import DatabaseAddress, read_address
from gateway.ports import StoreUnavailable

_VARIABLE: Final = "TOLLHOUSE_STORE_URL"


def add(verbs: Verbs) -> None:
    """Add `migrate-to` to the verbs of `db`."""
    move: argparse.ArgumentParser = verbs.add_parser(
        "migrate-to",
        help="copy the store from its file to a PostgreSQL database",
        description="Copy everything in the SQLite file of the configuration to an empty PostgreSQL database, compare"
        " every row, and verify the audit trail. The gateway must be stopped; the file stays as it is.",
        allow_abbrev=False,
    )
    move.add_argument(
        "address",
        nargs="?",
        metavar="ADDRESS",
        help="postgresql://user@host/database, without a password (which may be in PGPASSFILE or PGPASSWORD)",
    )
    move.add_argument(
        "--address-file",
        type=Path,
        metavar="PATH",
        help=f"file with the address (default: ${_VARIABLE}, then `store.url` of the configuration)",
    )
    move.add_argument(
        "--config",
        type=Path,
        default=Path("config.yaml"),
        help="configuration that names the file (default: %(default)s)",
    )
    move.add_argument(
        "--dry-run", action="store_true", help="find out whether it would succeed; keep nothing"
    )
    add_output_option(move)
    move.set_defaults(run=_migrate)


def _migrate(options: argparse.Namespace) -> int:
    printer = Printer(options.output)
    try:
        config = load(options.config, os.environ)
        address = _address(options, config)
        moving = move_store(config, options.config, address, is_dry_run=options.dry_run)
        move = asyncio.run(moving)
    except (ConfigErrors, CannotMove, CannotStart) as error:
        printer.message(f"tollhouse: {error}")
        return REFUSED
    except WrongUsage as error:
        printer.message(f"tollhouse: {error}")
        return WRONG_USAGE
    except StoreUnavailable as error:
        printer.message(f"tollhouse: {error}")
        return UNREACHABLE
    printer.entry(_told(move, address, is_dry_run=options.dry_run))
    if options.dry_run:
        printer.message("nothing was kept: leave --dry-run out to move")
    else:
        printer.message("every row was compared. Set `store.url`, and start the gateway")
    return DONE


def _address(options: argparse.Namespace, config: model.Config) -> DatabaseAddress:
    """Return the address of the database. Raises `WrongUsage`, with nothing of the address in the text."""
    given = options.address
    if given is not None and options.address_file is not None:
        raise WrongUsage("give ADDRESS or --address-file, not both")
    source = "ADDRESS"
    if options.address_file is not None:
        source = f"--address-file {options.address_file}"
        try:
            given = options.address_file.read_text("utf-8")
        except (OSError, ValueError) as error:
            raise WrongUsage(f"{source}: cannot be read") from error
    elif given is None:
        source = f"${_VARIABLE}"
        given = os.environ.get(_VARIABLE, "")
        if not given:
            source, given = "store.url", config.store.url.get_secret_value()
    if not given:
        raise WrongUsage(f"give ADDRESS, --address-file or ${_VARIABLE}")
    try:
        address = read_address(given)
    except ValueError as error:
        raise WrongUsage(f"{source} {error}") from error
    if source == "ADDRESS" and address.password:
        raise WrongUsage(
            "ADDRESS holds a password, which every process of this machine can read now: change it, and give the"
            f" address in --address-file or ${_VARIABLE}"
        )
    return address


def _told(move: Move, address: DatabaseAddress, *, is_dry_run: bool) -> dict[str, Any]:
    audit = move.audit
    fault = None if audit is None else audit.fault
    return {
        "database": str(address),
        "revision": move.moved.revision,
        "rows": dict(move.moved.rows),
        "audit_records": 0 if audit is None else audit.records,
        "audit": "intact" if fault is None else f"changed before: {fault.text}",
        "dry_run": is_dry_run,
    }
