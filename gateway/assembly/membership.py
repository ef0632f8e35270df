"""Our place among the gateways that share one database, put together: the register, the session, and their upkeep.

Knows in which order a gateway enters: into the register first, so that nobody does without its answer, before it keeps
anything in memory. It must not know the rule of leases, which is in `domain.nodes`.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from gateway import __version__
from gateway.assembly.elsewhere import take_over
from gateway.assembly.errors import CannotStart
from gateway.assembly.snapshots import believed_seconds
from gateway.assembly.stores import Opened, session_access
from gateway.config import model
from gateway.control.clock import uptime
from gateway.control.cluster import Cluster, NodeReport
from gateway.control.follower import Follower
from gateway.control.periodic import Periodic
from gateway.domain.nodes import Node

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway
    from gateway.stores.postgres.database import Database

_ATTEND_SECONDS_MAX: Final = 1.0
"""How often it is looked whether news still come: a lost connection is made anew within that time."""

_ATTEND_PER_LEASE: Final = 5
"""More often for a short lease: the server ends a session that asks for nothing for as long as that."""

_STRIKE_SECONDS: Final = 60.0
"""How often the leader looks for gateways that are gone for good."""


def introduce(gateway: Gateway) -> Node:
    """Return who we are."""
    return Node(
        node_id=f"node_{secrets.token_hex(8)}",
        name=name_of(gateway.config),
        version=__version__,
        audit_key=gateway.audit.fingerprints[0],
        started_at=gateway.clock.now(),
    )


async def enter(gateway: Gateway, opened: Opened, *, is_late: bool = False) -> None:
    """Enter the register, if there is one, and leave it at the end of `gateway.membership`.

    With `is_late` there are already who serve: they forget all keys between our entry and the first that is believed
    anew.

    Raises `CannotStart` when the others sign the audit trail with another key, `StoreUnavailable`.
    """
    if opened.database is None:
        return
    from gateway.stores.postgres.nodes import PostgresNodes

    own = gateway.own
    cluster = Cluster(
        *(own, PostgresNodes(opened.database), lambda: gateway.config.cluster, uptime),
        lease=gateway.lease,
        believed_seconds=lambda: believed_seconds(gateway.config),
    )
    if is_late:
        cluster.spread = gateway.crew.prolong
    roll = await cluster.join(gateway.crew.forget_all if is_late else None)
    gateway.membership.push_async_callback(cluster.leave)
    for node in roll.company(own.node_id):
        if node.audit_key != own.audit_key:
            raise CannotStart(
                f"audit.key: {node} signs the audit trail with another key. Gateways that share a store share that file"
                " as they share the pepper: copy it, or wait until that one is gone"
            )
    gateway.cluster = cluster
    recorders = gateway.recorders
    recorders.metrics.watch("nodes", cluster.counts)
    recorders.metrics.watch("node_is_leader", lambda: int(cluster.is_leader))
    recorders.metrics.watch("node_lease_seconds", lambda: max(0.0, cluster.lease.until - uptime()))


async def is_about(config: model.Config, database: Database, now: float) -> bool:
    """Tell whether a gateway of the name that `config` gives seems to run. Raises `StoreUnavailable`."""
    from gateway.stores.postgres.nodes import PostgresNodes

    roll = await PostgresNodes(database).roll()
    return any(
        node.name == name_of(config) and now - node.heartbeat_at < node.lease_seconds
        for node in roll.nodes
    )


def name_of(config: model.Config) -> str:
    """Return what the gateway is called among others."""
    return config.cluster.node or socket.gethostname()


class Following:
    """Learns what was changed elsewhere, and acknowledges it."""

    def __init__(self, gateway: Gateway, revision: int) -> None:
        self._gateway = gateway
        self._follower = Follower(gateway.store, self._take_over, self._start_anew, revision)
        gateway.reserve.revision = lambda: self._follower.revision
        self._cut: dict[str, int] = {}
        self.work = Periodic(
            "following the key store", lambda: gateway.config.store.poll, self.follow
        )

    async def _start_anew(self) -> None:
        """Believe nothing: it is another database, or may be."""
        await self._gateway.reserve.renew()
        await self._gateway.crew.forget_all()

    async def _take_over(self, changed: Iterable[str]) -> None:
        ids = [*changed]
        # Before it is acknowledged: by what is not noted a restart would serve, under the lease that we have now.
        await self._gateway.reserve.note_ids(ids, self._gateway.store)
        cut = await take_over(self._gateway, ids)
        if self._gateway.cluster is None:
            self._gateway.late_cuts.note(cut)
            return
        for record_id, count in cut.items():
            self._cut[record_id] = self._cut.get(record_id, 0) + count

    async def follow(self) -> None:
        """Go by what the store holds now. Raises `StoreUnavailable`; then the next time does."""
        gateway = self._gateway
        async with gateway.reloads.settling:
            revision = await self._follower.follow()
            if gateway.cluster is not None and not (gateway.crew.silent or gateway.reserve.silent):
                cut, self._cut = self._cut, {}
                await gateway.cluster.acknowledge(revision, cut)

    async def regain(self) -> None:
        """Believe nothing that is in memory, and learn what has changed."""
        await self._gateway.crew.forget_all()
        await self.follow()

    def distrust(self) -> None:
        """Believe nothing that is in memory, soon: another server may have lost what was acknowledged."""
        self._follower.distrust()
        self.work.soon()


async def following(gateway: Gateway, *, is_late: bool) -> Following:
    """Return who learns what was changed elsewhere, since we have entered the register, or the snapshot was written by
    which we serve.
    """
    cluster = gateway.cluster
    if is_late:
        return Following(gateway, gateway.reserve.revision())
    if cluster is None:
        return Following(gateway, await gateway.store.revision())
    return Following(gateway, cluster.own.acknowledged_revision)


def upkeep(gateway: Gateway, learner: Following) -> Sequence[Periodic]:
    """Return the work that a member does again and again; what it needs is closed with `gateway.membership`."""
    cluster = gateway.cluster
    if cluster is None:
        return ()
    from gateway.stores.postgres.session import PostgresSession

    session = PostgresSession(
        session_access(gateway.config, gateway.config_path),
        lambda: gateway.config.cluster.lease,
        on_revision=learner.work.soon,
        on_acknowledged=cluster.hear,
        on_other_server=learner.distrust,
    )
    gateway.membership.push_async_callback(session.close)
    cluster.session = session
    cluster.regain = learner.regain
    cluster.spread = gateway.crew.prolong
    pause = min(_ATTEND_SECONDS_MAX, gateway.config.cluster.lease / _ATTEND_PER_LEASE)
    listening = Periodic("listening to the other gateways", lambda: pause, session.attend)
    listening.soon()
    return (
        listening,
        Periodic("giving signs of life", lambda: cluster.pause, cluster.beat),
        Periodic(
            "striking out gateways", lambda: _STRIKE_SECONDS, leading(gateway, cluster.strike_out)
        ),
    )


def leading(gateway: Gateway, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Return `work` as it is done by one of all gateways only."""

    async def lead() -> None:
        if gateway.leads:
            await work()

    return lead


class Register:
    """Implements `admin.nodes.Nodes`: the gateways that share the store, or this one alone."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def report(self) -> Sequence[NodeReport]:
        """Return them. Raises `StoreUnavailable`."""
        gateway = self._gateway
        if gateway.cluster is not None:
            return await gateway.cluster.report()
        alone = gateway.own
        return [NodeReport(node=alone, is_self=True, is_live=True, age_seconds=0.0)]
