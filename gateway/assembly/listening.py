"""Every socket that a configuration listens on.

Knows the names of the listeners, who may connect to each unix socket, and that all are bound before anything else is
done: a port that is taken must not be noticed after the store was migrated. It must not know who answers there.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.assembly.sockets import bound, bound_for, describe
from gateway.config import model

ANYBODY: Final = 0o666
OWNER: Final = 0o600
GROUP: Final = 0o660
"""Who may connect to a unix socket. A proxy that asks runs as somebody else, of our group."""

Sockets = Mapping[str, Sequence[socket.socket]]
"""What a service manager listens on for us, by the name of the listener."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """The sockets of each listener: one, several of a group for `public`, none where it is not wanted.

    `pages` is where the dashboard is served beside `admin`, `links` where keys are handed over, `questions` where other
    proxies ask.
    """

    public: Sequence[socket.socket]
    admin: Sequence[socket.socket]
    pages: Sequence[socket.socket]
    metrics: Sequence[socket.socket]
    links: Sequence[socket.socket]
    questions: Sequence[socket.socket]


@contextmanager
def listening(
    config: model.Config, path: Path, workers: int, sockets: Sockets
) -> Iterator[Listening]:
    """Hold all sockets that `config` wants; those that were given are taken. Raises `BindError`."""
    listeners = config.listeners
    with ExitStack() as stack:

        def hold(name: str, bind: str | None, mode: int = OWNER) -> list[socket.socket]:
            if bind is None:
                return []
            return [stack.enter_context(bound(bind, path, mode=mode, given=sockets.get(name, ())))]

        yield Listening(
            public=stack.enter_context(
                bound_for(
                    *(workers, listeners.public.bind, path),
                    mode=ANYBODY,
                    given=sockets.get("public", ()),
                )
            ),
            admin=hold("admin", listeners.admin.bind),
            pages=hold("dashboard", config.dashboard.bind),
            metrics=hold("metrics", listeners.metrics.bind, ANYBODY),
            links=hold("delivery", listeners.delivery.bind, ANYBODY),
            questions=hold("forward_auth", listeners.forward_auth.bind, GROUP),
        )


def address_of(socks: Sequence[socket.socket]) -> str:
    """Return where these listen; empty for none."""
    return describe(socks[0]) if socks else ""
