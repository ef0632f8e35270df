"""Gateways that share one database, each a process with a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.crew import admin
from tests.e2e.process import Running, running, write_config


def config_text(folder: Path, upstream: str, url: str, name: str, **replaced: str) -> str:
    """Return the shipped configuration of a gateway called `name` that keeps everything at `url`."""
    text = write_config(folder, upstream).read_text()
    settings = f"\ncluster: {{node: {name}, lease: {replaced.pop('lease', '4s')}}}\n"
    changes = {
        "  path: data/tollhouse.db\n": f"  url: {url}\n",
        "\n#cluster:\n": settings,
        **replaced,
    }
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


@contextmanager
def member(folder: Path, upstream: str, url: str, name: str, **replaced: str) -> Iterator[Running]:
    """Run one of them; all sign with the key of the first one that stood beside it."""
    home = folder / name
    home.mkdir(exist_ok=True)
    text = config_text(home, upstream, url, name, **replaced)
    shared = folder / "audit.key"
    own = home / "data" / "audit.key"
    if shared.exists() and not own.exists():
        shutil.copy(shared, own)
    with running(home, upstream, text) as gateway:
        if not shared.exists():
            shutil.copy(own, shared)
        yield gateway


def acme(gateway: Running) -> None:
    """Create the tenant whose keys are made by `crew.create_key`."""
    admin(gateway, "POST", "/tenants", {"tenant_id": "acme", "name": "Acme"}, 201)
