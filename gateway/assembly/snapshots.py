"""Where the snapshot of the keys lies, and how long it may be believed, as the configuration says.

Knows the parts that a process needs to read it. It must not know when one is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.assembly import policy
from gateway.config import model
from gateway.config.places import anchored
from gateway.domain.database_address import read_address
from gateway.domain.key_snapshots import Moment
from gateway.stores.snapshots.finder import KnownKeys
from gateway.stores.snapshots.reading import Snapshot
from gateway.stores.snapshots.sealing import Seals

SUFFIX: Final = ".snapshot"

AGE_SECONDS_MAX: Final = 3600.0
"""How long known keys go on working without the store, where nothing else is said and nobody else writes to it."""


def snapshot_path(config: model.Config, path: Path) -> Path | None:
    """Return where the snapshot lies, None where none is kept."""
    section = config.store
    if section.snapshot == "" or config.on_failure.keys.mode == "deny":
        return None
    return left_path(config, path)


def left_path(config: model.Config, path: Path) -> Path:
    """Return where the snapshot lies, or would lie if one were kept."""
    section = config.store
    if section.snapshot:
        return anchored(path, section.snapshot)
    store = anchored(path, section.path)
    if store.suffix == SUFFIX:
        return store.with_name(f"{store.name}{SUFFIX}")
    return store.with_suffix(SUFFIX)


def age_max(config: model.Config) -> float:
    """Return for how many seconds known keys go on working without the store."""
    section = config.on_failure.keys
    if section.mode == "deny":
        return 0.0
    if section.max_age is not None:
        return section.max_age
    return config.cluster.lease if config.store.url.get_secret_value() else AGE_SECONDS_MAX


def believed_seconds(config: model.Config) -> float:
    """Return for how many seconds what is in memory may be believed under a lease that is longer.

    Who denies does so when the store is found not to answer: until then memory answers, as everywhere.
    """
    return math.inf if config.on_failure.keys.mode == "deny" else age_max(config)


def store_name(config: model.Config, path: Path) -> str:
    """Return what tells the store from others, without what it is called or any secret."""
    url = config.store.url.get_secret_value()
    name = str(anchored(path, config.store.path).absolute())
    if url:
        address = read_address(url)
        name = f"{address} {sorted(address.settings.items())}"
    return sha256(name.encode()).hexdigest()


def seals(config: model.Config) -> Seals:
    """Return what signs snapshots."""
    return Seals(policy.peppers(config))


def known_keys(
    config: Callable[[], model.Config], path: Path, moment: Callable[[], Moment]
) -> KnownKeys | None:
    """Return the keys that the snapshot knows; None where none is kept."""
    place = snapshot_path(config(), path)
    if place is None:
        return None
    snapshot = Snapshot(place, lambda: seals(config()), store_name(config(), path))
    return KnownKeys(snapshot, moment, lambda: age_max(config()))
