"""What lives as long as the process, whatever configuration is in force.

Knows the parts that several editions share: clocks, deadlines, buckets, recorders, certificates, the store. It must not
know routes or keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

from gateway.assembly.certificates import Certificates
from gateway.assembly.counting import Counting, throttle_settings
from gateway.assembly.recorders import Recorders
from gateway.assembly.share import Share
from gateway.assembly.upstreams import Builder
from gateway.config import model
from gateway.control.deadlines import DeadlineWheel
from gateway.domain.keys import KeyRecord
from gateway.domain.nodes import Lease
from gateway.outbox import Outbox
from gateway.ports import Clock, KeyFinder
from gateway.upstreams.dialer import Dialer

_ALL: Final = Share()

Rekey = Callable[[KeyRecord, bytes, str], None]


class Runtime:
    """The shared parts of a process that serves, with its `share` of all that serve.

    `lease` says for how long what is in memory may be believed; None: for as long as nobody says otherwise.
    `rekey` is told of a key that was found under an old pepper: the record, its current digest and that one's pepper.
    """

    def __init__(
        self,
        config_path: Path,
        *,
        clock: Clock,
        store: KeyFinder,
        recorders: Recorders,
        certificates: Certificates,
        counting: Counting,
        rekey: Rekey,
        share: Share = _ALL,
        lease: Lease | None = None,
    ) -> None:
        self.config_path = config_path
        self.clock = clock
        self.store = store
        self.recorders = recorders
        self.certificates = certificates
        self.share = share
        self.lease = lease
        self.rekey = rekey
        self.loop = asyncio.get_running_loop()
        self.deadlines = DeadlineWheel(self.loop)
        self.outbox = Outbox(self.loop)
        self.dialer = Dialer()
        self.random = Random(SystemRandom().getrandbits(256))  # noqa: S311 - ids must differ, not be secret
        self.upstreams = Builder(
            self.loop,
            self.deadlines,
            self.outbox,
            self.dialer,
            self.random.random,
            recorders.retried,
            config_path,
            share,
        )
        self.limiter = counting.limiter
        self.throttle = counting.throttle
        self.headcount = counting.headcount
        self._follow_limits = counting.follow

    def follow(self, config: model.Config) -> None:
        """Follow a changed configuration."""
        self.throttle.follow(*throttle_settings(config))
        self._follow_limits(config)
