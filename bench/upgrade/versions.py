"""Another version of the gateway beside this one: the package in a folder of its own, with a newer number and schema.

Knows that a step of the schema is a file, and what one may do: add. It must not know how a gateway is started.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bench.cluster.nodes import ROOT
from gateway import __version__
from gateway.stores import migrations
from gateway.stores.postgres import migrations as postgres_migrations

NEXT: Final = "99.0.0"

_STEP: Final = """\
ALTER TABLE keys ADD COLUMN upgraded TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN upgraded TEXT NOT NULL DEFAULT '';
CREATE INDEX keys_by_upgrade ON keys (upgraded);
CREATE TABLE upgrades (upgrade_id TEXT PRIMARY KEY NOT NULL);
"""
"""What later versions do to the tables that every request needs, and more."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version, and the folder that holds its package `gateway`."""

    number: str
    folder: Path


def this() -> Version:
    """Return the version that runs here."""
    return Version(__version__, ROOT)


def later(folder: Path, number: str = NEXT) -> Version:
    """Make a copy of the package that calls itself `number` and brings stores to a schema that ours does not know."""
    copy = copied(folder, number)
    for name, steps in (
        ("schema", migrations.steps()),
        ("schema_postgres", postgres_migrations.steps()),
    ):
        step = folder / "gateway" / "stores" / name / f"{steps[-1][0] + 1:03}_upgrade.sql"
        step.write_text(_STEP)
    return copy


def copied(folder: Path, number: str = __version__) -> Version:
    """Make a copy of the package that calls itself `number`."""
    spec = find_spec("gateway")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent
    shutil.copytree(source, folder / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    renumber(Version(__version__, folder), number)
    return Version(number, folder)


def renumber(version: Version, number: str) -> None:
    """Let the package in a folder call itself `number`, as an installation over it would."""
    init = version.folder / "gateway" / "__init__.py"
    text = init.read_text("utf-8")
    old = f'__version__ = "{version.number}"'
    assert old in text
    init.write_text(text.replace(old, f'__version__ = "{number}"'), "utf-8")
