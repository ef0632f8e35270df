"""One request on its way through step 5, told alone."""

from __future__ import annotations

from typing import Any

from gateway import eager
from gateway.domain.denial import Denial
from gateway.domain.keys import BoundKey
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.pipeline.forward import forward
from gateway.pipeline.values import Admission, Reply
from tests.pipeline.fakes import FakeExchange, FakeUpstream, Says
from tests.pipeline.samples import (
    THINGS,
    admitted,
    head,
)
from tests.pipeline.world import World


class Story:
    """One request on its way through step 5."""

    def __init__(
        self,
        asked: RequestHead | None = None,
        *,
        route: Route = THINGS,
        key: BoundKey | None = None,
        world: World | None = None,
        admission: Admission | None = None,
        **exchange: Any,
    ) -> None:
        self.world = world or World(route)
        asked = asked or head(route.pattern)
        self.exchange = FakeExchange(asked, **exchange)
        self.results: list[Reply | Denial] = []
        self.crashes: list[BaseException] = []
        self._admission = admission or admitted(asked, route, key)

    def begin(self) -> Story:
        """Go as far as the story goes without waiting."""

        async def tell() -> None:
            result = await forward(self._admission, self.exchange, self.world.generation)
            self.results.append(result)

        eager.start(tell(), self.crashes.append)
        assert not self.crashes, self.crashes
        return self

    @property
    def reply(self) -> Reply:
        (reply,) = self.results
        assert isinstance(reply, Reply)
        return reply

    @property
    def denial(self) -> Denial:
        (denial,) = self.results
        assert isinstance(denial, Denial)
        return denial

    @property
    def upstream(self) -> FakeUpstream:
        return self.world.upstream


def answered(
    says: Says,
    asked: RequestHead | None = None,
    *,
    route: Route = THINGS,
    world: World | None = None,
) -> FakeExchange:
    world = world or World(route)
    world.upstream.script.append(says)
    return Story(asked, route=route, world=world).begin().exchange
