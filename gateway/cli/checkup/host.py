"""The process and its host: open files, the user, the service manager."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.assembly.room import demand
from gateway.assembly.share import Share
from gateway.cli.checkup.finding import Finding, Patient, fail, ok, warn
from gateway.control.cores import worker_count

UNITS: Final = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"))
SYSTEMD: Final = Path("/run/systemd/system")
_UNIT: Final = "tollhouse.service"
_WANTED: Final = ("Type=notify", "LimitNOFILE=", "NoNewPrivileges=")


def descriptors(patient: Patient) -> Iterator[Finding]:
    """As many files may be open as the configured connections need."""
    workers = worker_count(patient.config.workers)
    wanted = demand(patient.config, Share(0, workers))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= wanted.descriptors:
        yield ok("open files", f"{wanted.descriptors} may be needed per process, and can be had")
    elif wanted.clients_within(hard) == 0:
        yield fail(
            "open files",
            f"the hard limit of {hard} leaves none for clients",
            f"raise it to {wanted.descriptors}: LimitNOFILE=, ulimit -Hn, --ulimit nofile=",
        )
    else:
        yield warn(
            "open files",
            f"the hard limit is {hard}, {wanted.descriptors} may be needed: connections_max is lowered to "
            f"{wanted.clients_within(hard)} per process",
            "raise it (LimitNOFILE=, ulimit -Hn, --ulimit nofile=) or lower listeners.public.connections_max",
        )


def user(_: Patient) -> Iterator[Finding]:
    """The gateway needs no rights of root."""
    if os.geteuid() == 0:
        yield warn(
            "user",
            "this runs as root; what is said about rights may not hold for the gateway's own user",
            "run the gateway, and this, as a user of its own",
        )
    else:
        yield ok("user", f"uid {os.geteuid()}")


def service_manager(
    _: Patient, units: tuple[Path, ...] = UNITS, systemd: Path = SYSTEMD
) -> Iterator[Finding]:
    """A unit of systemd, where there is one, lets it watch the gateway."""
    unit = next((folder / _UNIT for folder in units if (folder / _UNIT).is_file()), None)
    if unit is None:
        said = "systemd runs here, without a unit for the gateway" if systemd.is_dir() else "none"
        yield ok("service manager", said)
        return
    text = unit.read_text("utf-8", "replace")
    missing = [each for each in _WANTED if not re.search(rf"^\s*{each}", text, re.MULTILINE)]
    if missing:
        yield warn(
            "service manager",
            f"{unit} lacks {', '.join(missing)}",
            "compare it with deploy/systemd/tollhouse.service",
        )
    else:
        yield ok("service manager", f"{unit}")
