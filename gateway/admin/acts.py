"""Reading an act: a body with a reason, and the order that it is.

Knows that every act names its reason in the body. It must not know what is ordered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from aiohttp import web

from gateway.admin.auth import ACTOR
from gateway.admin.requests import read_body
from gateway.admin.wire import Act
from gateway.domain.change import Order
from gateway.domain.key_rules import Refused

A = TypeVar("A", bound=Act)


async def read_act(request: web.Request, shape: type[A]) -> tuple[A, Order]:
    """Return the body as `shape`, and who orders what it says. Raises what `read_body` raises."""
    body = await read_body(request, shape)
    return body, Order(actor=request[ACTOR], reason=body.reason)


@contextmanager
def named_as_in_body(names: Mapping[str, str]) -> Iterator[None]:
    """Let a refusal point to where its cause stands in the body: `names` are pointers as the keyring knows them."""
    try:
        yield
    except Refused as refused:
        problems = [(names.get(where, where), text) for where, text in refused.problems]
        raise Refused(problems) from None


def seconds(duration: timedelta | None) -> float | None:
    """Return a duration as a number."""
    return None if duration is None else duration.total_seconds()
