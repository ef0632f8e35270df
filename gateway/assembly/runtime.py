"""What lives as long as the process, whatever configuration is in force.

Knows the parts that several editions share: clocks, deadlines, buckets, recorders, certificates, the store. It must not
know routes or keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom

from gateway.assembly.certificates import Certificates
from gateway.assembly.recorders import Recorders
from gateway.assembly.upstreams import Builder
from gateway.config import model
from gateway.control.deadlines import DeadlineWheel
from gateway.keyring import Keyring
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.throttle import AddressThrottle
from gateway.outbox import Outbox
from gateway.ports import Clock, KeyStore
from gateway.stores.rekeying import Rekeying
from gateway.upstreams.dialer import Dialer


class Runtime:
    """The shared parts. `keyring` returns the one in force."""

    def __init__(
        self,
        config: model.Config,
        config_path: Path,
        *,
        clock: Clock,
        store: KeyStore,
        recorders: Recorders,
        certificates: Certificates,
        keyring: Callable[[], Keyring],
    ) -> None:
        self.config_path = config_path
        self.clock = clock
        self.store = store
        self.recorders = recorders
        self.certificates = certificates
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
        )
        self.limiter = MemoryLimiter(clock)
        self.throttle = AddressThrottle(clock, *_throttle_settings(config))
        # The key is judged by the rules that hold when its turn has come, not when it was offered.
        self.rekeying = Rekeying(lambda *offered: keyring().rekey(*offered))

    def follow(self, config: model.Config) -> None:
        """Follow a changed configuration."""
        self.throttle.follow(*_throttle_settings(config))


def _throttle_settings(config: model.Config) -> tuple[int, float, int]:
    section = config.authentication.throttle
    return section.failures, max(1, round(section.per)), section.addresses_max
