"""`tollhouse doctor`: examines the configuration, its files, the store and the host, and says what to do.

Knows which examinations there are, and how findings are printed. What is examined stands in `checkup`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from gateway.assembly import membership, stores
from gateway.assembly.errors import CannotStart
from gateway.cli.checkup import edge, host, secrets, store
from gateway.cli.checkup.finding import Examination, Finding, Patient, fail, ok, warn
from gateway.cli.options import Verbs
from gateway.cli.output import Printer, add_output_option
from gateway.cli.statuses import DONE, REFUSED
from gateway.config.load import read
from gateway.config.model import Config
from gateway.config.places import anchored
from gateway.ports import StoreUnavailable
from gateway.stores.sqlite_lock import InUse, alone

EXAMINATIONS: Final[tuple[Examination, ...]] = (
    secrets.secret_files,
    secrets.peppers,
    secrets.key_formats,
    store.store,
    store.snapshot,
    store.room,
    edge.certificates,
    edge.trusted_proxies,
    edge.exposure,
    edge.ports,
    host.descriptors,
    host.user,
    host.service_manager,
)


def register(verbs: Verbs) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "doctor",
        help="examine configuration, files, store and host",
        description="Examine the configuration, the rights on its files, peppers and formats of keys, the store, room"
        " on the disk, certificates, addresses, ports, open files and the service manager. Each finding is ok, warn or"
        " fail, with what to do; exits with 1 if one is fail. Run it as the gateway's user; nothing is changed.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", type=Path, default=Path("config.yaml"), help="configuration file"
    )
    add_output_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    printer = Printer(options.output)
    findings = [*examine(options.config)]
    if printer.form == "table":
        for finding in findings:
            printer.line(f"{finding.level:<4}  {finding.check}: {finding.text}")
            if finding.advice:
                printer.line(f"      -> {finding.advice}")
    else:
        printer.entry({"findings": [asdict(finding) for finding in findings]})
    counts = {level: sum(each.level == level for each in findings) for level in ("fail", "warn")}
    printer.message(f"{counts['fail']} to repair, {counts['warn']} to look at")
    return REFUSED if counts["fail"] else DONE


def examine(path: Path) -> Iterator[Finding]:
    """Yield everything that there is to say; without a configuration that can be used, that and no more."""
    loaded = read(path, os.environ)
    for problem in loaded.problems:
        said = (warn if problem.is_warning else fail)("configuration", str(problem), "correct it")
        yield said
    if loaded.config is None:
        return
    if not loaded.problems:
        yield ok("configuration", f"{path} can be used")
    patient = Patient(
        path=path,
        config=loaded.config,
        sources=loaded.sources,
        is_running=_is_running(loaded.config, path),
        now=time.time(),
    )
    for examination in EXAMINATIONS:
        yield from examination(patient)


def _is_running(config: Config, path: Path) -> bool:
    """Tell whether a gateway has the store open."""
    if config.store.url.get_secret_value():
        try:
            return asyncio.run(_is_registered(config, path))
        except (StoreUnavailable, CannotStart):
            return False
    return _is_held(anchored(path, config.store.path))


async def _is_registered(config: Config, path: Path) -> bool:
    async with stores.opened_to_read(config, path) as opened:
        assert opened.database is not None
        return await membership.is_about(config, opened.database, time.time())


def _is_held(path: Path) -> bool:
    if not path.with_name(f"{path.name}.lock").exists():
        return False
    try:
        with alone(path):
            return False
    except (InUse, OSError):
        return True
