"""How many connections fit: what a configuration may open, held against what the operating system allows."""

from __future__ import annotations

from typing import Final

from gateway.assembly.errors import CannotStart
from gateway.assembly.share import Share
from gateway.config import model
from gateway.control.descriptors import Demand, make_room

_ALL: Final = Share()


def demand(config: model.Config, share: Share = _ALL) -> Demand:
    """Return the descriptors that a process with this `share` of `config` may need at most."""
    upstreams = config.upstreams.values()
    return Demand(
        clients=share.of(config.listeners.public.connections_max) + _asking(config, share),
        upstream_connections=sum(len(u.targets) * share.of(u.connections_max) for u in upstreams),
        idle_upstream=sum(len(u.targets) * share.of(u.idle_connections_max) for u in upstreams),
    )


def connections_max(config: model.Config, share: Share = _ALL) -> int:
    """Return how many client connections there may be; raises `CannotStart` if the system allows none."""
    clients = make_room(demand(config, share)) - _asking(config, share)
    if clients <= 0:
        raise CannotStart(
            "the limit of open files leaves none for clients: raise the hard limit (ulimit -Hn, LimitNOFILE=)"
        )
    return clients


def _asking(config: model.Config, share: Share) -> int:
    """Return how many connections of proxies there may be that only ask."""
    section = config.listeners.forward_auth
    return share.of(section.connections_max) if section.bind is not None else 0
