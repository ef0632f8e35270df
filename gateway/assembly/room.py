"""How many connections fit: what a configuration may open, held against what the operating system allows."""

from __future__ import annotations

from gateway.assembly.errors import CannotStart
from gateway.config import model
from gateway.control.descriptors import Demand, make_room


def demand(config: model.Config) -> Demand:
    """Return the descriptors that `config` may need at most."""
    upstreams = config.upstreams.values()
    return Demand(
        clients=config.listeners.public.connections_max,
        upstream_connections=sum(len(u.targets) * u.connections_max for u in upstreams),
        idle_upstream=sum(len(u.targets) * u.idle_connections_max for u in upstreams),
    )


def connections_max(config: model.Config) -> int:
    """Return how many client connections there may be; raises `CannotStart` if the system allows none."""
    clients = make_room(demand(config))
    if clients == 0:
        raise CannotStart(
            "the limit of open files leaves none for clients: raise the hard limit (ulimit -Hn, LimitNOFILE=)"
        )
    return clients
