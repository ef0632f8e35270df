"""`Idempotency-Key`: whoever asks twice for the same thing gets one.

Knows how the key of a request is read and what is answered the second time. What is kept, and for how long, the keyring
knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gateway.admin.auth import ACTOR
from gateway.admin.problems import AlreadyDelivered, BadRequest
from gateway.admin.requests import IS_DRY_RUN
from gateway.keyring.repeats import Repeats

FIELD: Final = "Idempotency-Key"
_LENGTH_MAX: Final = 255

Create = Callable[[], Awaitable[tuple[str, web.Response]]]
"""Makes something; returns its id and the answer."""

Show = Callable[[str], Awaitable[web.Response]]
"""Answers with what was made before."""


async def once(
    request: web.Request, repeats: Repeats, create: Create, show: Show | None = None
) -> web.Response:
    """Answer with what `create` makes, or made for an earlier request with the same key and content.

    That is shown by `show`; None says that the answer held a secret, which nobody can be given again. A dry run makes
    nothing that could be repeated. The order of the request has been read before.
    """
    key = _read_key(request)
    if not key or request.get(IS_DRY_RUN):
        return (await create())[1]
    async with repeats.once(_scoped(request, key), await _fingerprint(request)) as making:
        if not making.repeated_id:
            making.result_id, response = await create()
            return response
        if show is None:
            raise AlreadyDelivered(making.repeated_id)
        response = await show(making.repeated_id)
        response.headers["Idempotency-Replayed"] = "true"
        return response


def _read_key(request: web.Request) -> str:
    values = request.headers.getall(FIELD, [])
    if not values:
        return ""
    key = values[0]
    if len(values) > 1 or not 0 < len(key) <= _LENGTH_MAX or not key.isprintable():
        raise BadRequest(400, f"Send one `{FIELD}` of 1 to {_LENGTH_MAX} printable characters.")
    return key


def _scoped(request: web.Request, key: str) -> str:
    """Return the key as its sender's own: nobody meets the keys of others."""
    actor = request[ACTOR]
    return _hashed(actor.kind, actor.name, key)


async def _fingerprint(request: web.Request) -> str:
    """Return what two requests share that ask for the same, byte for byte."""
    return _hashed(request.method, request.path, (await request.read()).hex())


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
