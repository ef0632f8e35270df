"""The work that a control plane does again and again, beside requests.

Knows how often each is done, what only one of several gateways does, and that all of it is done once more at the end.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from gateway.assembly import membership
from gateway.assembly.background import last_time
from gateway.assembly.run_out import LOOK_SECONDS, RunOut
from gateway.control.periodic import Periodic
from gateway.control.spare import SPARE_SECONDS, give_back_memory
from gateway.keyring.caretaker import Caretaker
from gateway.keyring.survey import Survey

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway
    from gateway.assembly.returning import Returning

_SAVE_SECONDS: Final = 1.0
"""How often quota counters and last uses are written: what a `kill -9` can lose."""

_COUNT_SECONDS: Final = 15.0
"""How often keys are counted for the metrics: nobody needs that number to the second."""

_BEGIN_SECONDS: Final = 2.0
"""The same until all keys were seen once."""

_LOOK_SECONDS: Final = 1.0
"""How often keys are looked after: how late it is told that a key has expired. Requests are judged by the clock."""

_SOON_SECONDS: Final = 0.1
"""The same while there is more to be done than one look has time for."""


async def begin(
    gateway: Gateway,
    returning: Returning | None,
    tasks: asyncio.TaskGroup,
    stack: AsyncExitStack,
) -> None:
    """Start it, with what is `returning` to the store; at the end of `stack` each is done once more."""
    store, recorders, reserve = gateway.store, gateway.recorders, gateway.reserve
    learner = await membership.following(gateway, is_late=returning is not None)
    lease = gateway.lease
    reserve.until = lambda: None if lease is None else lease.until
    reserve.forget = gateway.crew.forget_all
    caretaker = Caretaker(lambda: gateway.keyring, store, gateway.clock)
    survey = Survey(lambda: gateway.keyring, store, gateway.clock)
    recorders.watch_keys(survey)
    looking_after = membership.leading(gateway, caretaker.look_after)
    everything = (
        Periodic("ending what has run out", lambda: LOOK_SECONDS, RunOut(gateway).look),
        Periodic(
            "looking after keys",
            lambda: _SOON_SECONDS if caretaker.is_behind else _LOOK_SECONDS,
            looking_after,
        ),
        learner.work,
        *membership.upkeep(gateway, learner),
        *reserve.work(store),
        gateway.degradation.work,
        Periodic("saving counters", lambda: _SAVE_SECONDS, lambda: gateway.save(store)),
        Periodic("counting keys", lambda: _COUNT_SECONDS, lambda: recorders.count_keys(store)),
        Periodic(
            "surveying keys",
            lambda: _COUNT_SECONDS if survey.is_complete else _BEGIN_SECONDS,
            survey.look,
        ),
        Periodic("giving memory back", lambda: SPARE_SECONDS, give_back_memory),
    )
    running = {work: tasks.create_task(work.run(), name=work.name) for work in everything}
    if returning is not None:
        returning.begin(learner, running, tasks)
    stack.push_async_callback(last_time, running)
    stack.callback(reserve.stop)
