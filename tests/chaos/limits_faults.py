"""What may happen to Redis, which holds the limits of two gateways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos.facts import Bounds
from tests.chaos.place import BURST, QUOTA, RATE, SHARE, Place, together
from tests.chaos.scene import EVERYBODY, Scene

_GATEWAYS: Final = 2
_HOLD: Final = 4.0
_BACK_SECONDS: Final = 2.0
"""Until every gateway has noticed that Redis is back: it is tried again every 250 ms, on a busy machine later."""


def shares(hold: float = _HOLD) -> Bounds:
    """Return what the shares of all gateways let in: docs/how-to/share-limits-with-redis.md."""
    part = _GATEWAYS * SHARE
    return Bounds(quota=int(part * QUOTA), rate=int(part * (BURST + RATE * (hold + _BACK_SECONDS))))


def emptied(bounds: Bounds) -> Bounds:
    """Return what may be let in besides because every bucket is full again."""
    return Bounds(quota=bounds.quota + QUOTA, rate=bounds.rate + BURST)


@contextmanager
def killed(place: Place) -> Iterator[None]:
    place.server.kill()
    yield
    place.server.start()


@contextmanager
def frozen(place: Place) -> Iterator[None]:
    place.server.freeze()
    try:
        yield
    finally:
        place.server.thaw()


@contextmanager
def paused(place: Place) -> Iterator[None]:
    place.server.client.client_pause(int(_HOLD * 1000))
    yield


@contextmanager
def flushed(place: Place) -> Iterator[None]:
    place.server.client.flushall()
    yield


@contextmanager
def slow(place: Place, seconds: float) -> Iterator[None]:
    assert place.wire is not None
    place.wire.delay = seconds
    yield
    place.wire.delay = 0.0


@contextmanager
def silent(place: Place) -> Iterator[None]:
    assert place.wire is not None
    place.wire.silence()
    yield
    place.wire.restore()


@contextmanager
def starved(place: Place) -> Iterator[None]:
    place.server.client.config_set("maxmemory", "1")
    yield
    place.server.client.config_set("maxmemory", "0")


def _wired(folder: Path, upstream: str) -> AbstractContextManager[Place]:
    return together(folder, upstream, wired="redis")


def _scene(
    name: str,
    what: str,
    fault: Callable[[Place], AbstractContextManager[None]],
    bounds: Bounds,
    *,
    hold: float = _HOLD,
    is_wired: bool = False,
) -> Scene:
    return Scene(
        name=f"redis-{name}",
        group="Redis",
        what=what,
        place=_wired if is_wired else together,
        fault=fault,
        hold=hold,
        unharmed=EVERYBODY,
        bounds=bounds,
    )


SCENES: Final = (
    _scene("killed", "killed (SIGKILL), started again empty", killed, emptied(shares())),
    _scene("stopped", "stopped (SIGSTOP)", frozen, shares()),
    _scene("paused", "`CLIENT PAUSE`", paused, shares()),
    _scene("flushed", "`FLUSHALL`", flushed, emptied(Bounds()), hold=1.0),
    _scene("slow", "50 ms slower", partial(slow, seconds=0.025), Bounds(), is_wired=True),
    _scene("too-slow", "a second slower", partial(slow, seconds=0.5), shares(), is_wired=True),
    _scene("silent", "packets vanish on the way to it", silent, shares(), is_wired=True),
    _scene("out-of-memory", "out of memory (`maxmemory`)", starved, shares()),
)
