"""What each route of the admin API needs of whoever asks, declared next to its handler.

Knows how a need is written and read. Whether it is met, `auth` judges; a handler that declares nothing needs the most.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiohttp import web

from gateway.domain.admin_tokens import Right

Act = Callable[..., Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Act)

_RIGHT: Final = "right"
_IS_FILTERED: Final = "is_filtered"
_IS_OPEN: Final = "is_open"


def needs(right: Right, *, is_filtered: bool = False) -> Callable[[H], H]:
    """Declare the right that a handler needs.

    A token that is bound to a tenant may use a handler whose path names a record: that record is looked at before.
    Any other only if the handler says with `is_filtered` that it shows and changes only what the `PRINCIPAL` reaches.
    """

    def declare(handler: H) -> H:
        setattr(handler, _RIGHT, right)
        setattr(handler, _IS_FILTERED, is_filtered)
        return handler

    return declare


def open_to_all(handler: H) -> H:
    """Declare that a handler is for everybody: what it takes from the request is the credential."""
    setattr(handler, _IS_OPEN, True)
    return handler


def right_of(handler: object) -> Right | None:
    """Return the right that `handler` declares, or None."""
    right: Any = getattr(handler, _RIGHT, None)
    return right if isinstance(right, Right) else None


def is_filtered(handler: object) -> bool:
    """Tell whether `handler` looks after bound tokens itself."""
    return bool(getattr(handler, _IS_FILTERED, False))


def is_open(handler: object) -> bool:
    """Tell whether `handler` is for everybody."""
    return bool(getattr(handler, _IS_OPEN, False))
