"""The next edition of a data plane: made and tried beside the running one, then put in its place in one step.

Knows what comes before the step and what leaves after it. Whatever fails before leaves everything as it was. It must
not know who asks, nor the store's writers: whoever asks brings the store up in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.assembly.access_logs import OpenLog
from gateway.assembly.draft import draft
from gateway.assembly.edition import Edition, make_edition, unshared
from gateway.assembly.errors import CannotStart
from gateway.assembly.self_test import faults
from gateway.assembly.tightened import Tightened, is_tightened, is_undecided
from gateway.assembly.tracing import OpenTraces, bring_library
from gateway.config import model
from gateway.config.reloading import ReloadRefused
from gateway.control.beside import beside
from gateway.domain.denial import Reason

if TYPE_CHECKING:
    from gateway.assembly.data_plane import DataPlane


_LOOK_UP_SECONDS: Final = 0.5
"""How long a look-up that was under way may take before its request is judged again."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    edition: Edition
    log: OpenLog | None
    traces: OpenTraces | None


class Heir:
    """What `plane` will be. One at a time."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._prepared: _Prepared | None = None

    async def prepare(self, number: int, config: model.Config) -> None:
        """Make the edition of `config` as generation `number` and try it. Raises `ReloadRefused`.

        Until `install` or `abandon` the store may be ahead of the generation in force: a key that only the next one
        can bind waits for it.
        """
        await self.abandon()
        plane = self._plane
        before = plane.edition
        edition = await self._made(number, config, before)
        try:
            await beside(bring_library, config)
            traces = plane.runtime.recorders.open_traces(config)  # holds nothing open yet
            log = plane.runtime.recorders.open_log(config)
        except (CannotStart, OSError) as error:
            edition.discard(before)
            raise ReloadRefused(str(error)) from error
        self._prepared = _Prepared(edition, log, traces)
        await before.keys.lookups.settling.acquire()

    async def _made(self, number: int, config: model.Config, before: Edition) -> Edition:
        runtime = self._plane.runtime
        try:
            drafted = await beside(
                draft, config, runtime.config_path, before.draft.plans, runtime.share
            )
            edition = make_edition(drafted, number, runtime, before)
        except CannotStart as error:
            raise ReloadRefused(str(error)) from error
        found = await beside(faults, edition)
        if found:
            edition.discard(before)
            raise ReloadRefused("; ".join(found))
        return edition

    def is_ready(self, number: int) -> bool:
        """Tell whether generation `number` was prepared."""
        prepared = self._prepared
        return prepared is not None and prepared.edition.generation.number == number

    def install(self, changed: Iterable[str]) -> None:
        """Put what was prepared in its place, and forget what the store has `changed` for it: nothing else happens
        meanwhile, there is no wait in here.
        """
        prepared, self._prepared = self._prepared, None
        if prepared is None:
            raise RuntimeError("nothing was prepared")
        plane = self._plane
        runtime, before, edition = plane.runtime, plane.edition, prepared.edition
        earlier = plane.listener.exchanges()
        plane.install(edition)
        runtime.follow(edition.config)
        replaced = runtime.recorders.follow(edition.config, prepared.log)
        if replaced is not None:
            plane.retirement.finish("the access log", replaced.close())
        tracing = runtime.recorders.tracing
        replaced_traces = tracing.follow(prepared.traces)
        if replaced_traces is not None:
            plane.retirement.finish("traces", tracing.retire(replaced_traces))

        def is_anyone_left() -> bool:
            """Tell whether a request from before may still turn to an upstream."""
            earlier[:] = [each for each in earlier if not (each.finished.is_set or each.is_begun)]
            return bool(earlier)

        for service in unshared(before, edition):
            service.drain()
            plane.retirement.retire(
                f"upstream {service.name}",
                lambda service=service: is_anyone_left() or not service.is_empty,  # type: ignore[misc]
                service.close,
                edition.config.reload.drain_timeout,
            )
        plane.forget(changed)
        edition.keys.lookups.settling.release()
        if is_tightened(before.draft, edition.draft):
            plane.retirement.finish("what is no longer allowed", self._withdraw(edition))

    async def _withdraw(self, edition: Edition) -> None:
        """End what `edition` would not let begin; what it has no route for may go on for as long as an upstream that
        it left out.
        """
        streams = self._plane.streams
        condemn = Tightened(edition.draft)
        waiting = streams.condemned(is_undecided)
        found = streams.condemned(condemn)
        left = [each for each in found if each[1] is Reason.NO_ROUTE]
        await streams.end([each for each in found if each[1] is not Reason.NO_ROUTE])
        if left:
            self._plane.retirement.retire(
                "a route",
                lambda: not all(exchange.finished.is_set for exchange, _ in left),
                lambda: self._plane.retirement.finish("the cut", streams.end(left)),
                edition.config.reload.drain_timeout,
            )
        if waiting:
            # They go by the rules that they began with, and are streams once their key is found.
            await asyncio.sleep(_LOOK_UP_SECONDS)
            late = {id(exchange) for exchange, _ in waiting}
            found = streams.condemned(condemn)
            await streams.end([each for each in found if id(each[0]) in late])

    async def abandon(self) -> None:
        """Let go of what was prepared, if anything was."""
        prepared, self._prepared = self._prepared, None
        if prepared is None:
            return
        plane = self._plane
        plane.edition.keys.lookups.settling.release()
        prepared.edition.discard(plane.edition)
        if prepared.log is not None and prepared.log is not plane.runtime.recorders.log:
            await prepared.log.close()
        traces = prepared.traces
        if traces is not None and traces is not plane.runtime.recorders.tracing.open:
            await traces.close()
