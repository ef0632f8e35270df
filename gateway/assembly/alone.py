"""One process: the data plane beside the control plane."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from gateway.assembly import data_plane
from gateway.assembly.counting import Elsewhere, alone
from gateway.assembly.local_crew import LocalCrew
from gateway.assembly.runtime import Runtime
from gateway.limiters.memory import MemoryLimiter
from gateway.stores.snapshots.finder import ReservedKeys

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway


async def join(
    gateway: Gateway,
    public: Sequence[socket.socket],
    questions: Sequence[socket.socket],
    counts: Mapping[str, tuple[int, int]],
    tasks: asyncio.TaskGroup,
    stack: AsyncExitStack,
) -> Callable[[], Awaitable[None]]:
    """Give `gateway` a data plane of its own, with these quota `counts`; return what lets it serve on `public`
    and answer `questions` of proxies.

    Raises `CannotStart`.
    """
    limiter = MemoryLimiter(gateway.clock)
    here = alone(gateway.config, gateway.clock, limiter)
    elsewhere = Elsewhere(gateway.config, gateway.config_path, gateway.clock)
    counting = await stack.enter_async_context(
        elsewhere.opened(here, gateway.recorders.metrics, tasks)
    )
    runtime = Runtime(
        gateway.config_path,
        clock=gateway.clock,
        store=gateway.store
        if gateway.reserve.known is None
        else ReservedKeys(gateway.store, gateway.reserve.known),
        recorders=gateway.recorders,
        certificates=gateway.certificates,
        counting=counting,
        rekey=gateway.rekeying.offer,
        lease=gateway.lease,
    )
    plane = await stack.enter_async_context(
        data_plane.opened(gateway.config, gateway.number, runtime, tasks)
    )
    gateway.plane = plane
    gateway.crew = LocalCrew(plane)
    if not elsewhere.is_wanted:  # else they are where they are counted
        limiter.import_counts(counts)
        gateway.export_counts = limiter.export_counts
        gateway.import_counts = limiter.import_counts
    gateway.recorders.watch_limiter(lambda: limiter.forgotten_early)

    async def serve() -> None:
        await plane.accept(public[0])
        for sock in questions:
            await plane.be_asked(sock)

    return serve
