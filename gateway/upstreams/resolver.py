"""Names of targets: which addresses they have now, and which of those are used.

Knows how an answer becomes targets, and what happens when there is none. It must not know requests. The look-up itself
is the system's, so that /etc/hosts, search domains and a local cache count here as everywhere else on the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Final, Literal, Protocol

from gateway.upstreams.target import Address

ADDRESSES_MAX: Final = 64
"""Per name: each becomes a target, with connections and metric labels of its own."""

LOOKUP_SECONDS_MAX: Final = 10.0
"""Twice the time that a resolver waits for one server by default."""

_HEAD_START_SECONDS: Final = 0.25
"""How long the preferred kind of address may take before the other is tried as well (RFC 8305 section 5)."""

_CONNECT_SECONDS_MAX: Final = 2.0
_JITTER: Final = 0.1

Family = Literal["any", "ipv4", "ipv6"]

_log = logging.getLogger(__name__)


class Resolver(Protocol):
    """Looks names up."""

    async def resolve(self, host: str) -> Sequence[str]:
        """Return the IP addresses of `host`, those that the system prefers first; raise `OSError`."""
        ...


class SystemResolver:
    """Implements `Resolver` with `getaddrinfo`, which orders what it finds (RFC 6724)."""

    async def resolve(self, host: str) -> Sequence[str]:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return [str(sockaddr[0]) for *_, sockaddr in found]


class Reach(Protocol):
    """Tries whether an address can be connected to."""

    async def __call__(self, address: Address) -> bool: ...


async def can_connect(address: Address) -> bool:
    """Tell whether `address` accepts a TCP connection, which is closed again."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CONNECT_SECONDS_MAX):
            _, writer = await asyncio.open_connection(address.host, address.port)
        writer.close()
        return True
    return False


class Names:
    """Keeps the targets of one upstream true to the names that it was configured with.

    `addresses` are those of the configuration with their weights. Until a name has been looked up it is a target
    itself, and while it cannot be looked up its last good answer stays. `retarget` is told the targets when they
    change, `count` whether a look-up was `ok` or `failed`, `random` returns numbers from 0 to 1.
    """

    def __init__(
        self,
        name: str,
        addresses: Mapping[Address, int],
        *,
        every_seconds: float,
        family: Family,
        resolver: Resolver,
        reach: Reach,
        retarget: Callable[[Mapping[Address, int]], None],
        count: Callable[[str], None],
        random: Callable[[], float],
    ) -> None:
        self._name = name
        self._every_seconds = every_seconds
        self._family = family
        self._resolver = resolver
        self._reach = reach
        self._retarget = retarget
        self._count = count
        self._random = random
        self._weights = dict(addresses)
        self._answers = {address: [address] for address in addresses}
        self._failing: set[str] = set()

    async def run(self) -> None:
        """Look the names up, now and then again and again, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._every_seconds * (1 - _JITTER * self._random()))

    async def refresh(self) -> None:
        """Look every name up once, and tell the targets if they are others than before."""
        before = self._targets()
        for address in self._weights:
            if is_name(address.host):
                await self._look_up(address)
        after = self._targets()
        if after != before:
            _log.info(
                "upstream %s: its targets are now %s",
                self._name,
                ", ".join(address.label for address in after),
            )
            self._retarget(after)

    def _targets(self) -> dict[Address, int]:
        targets: dict[Address, int] = {}
        for address, answer in self._answers.items():
            for target in answer:
                # Two names of one machine are one target, with the larger weight.
                targets[target] = max(self._weights[address], targets.get(target, 0))
        return targets

    async def _look_up(self, address: Address) -> None:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS_MAX):
                found = await self._resolver.resolve(address.host)
            answer = await self._choose(address, found)
        except TimeoutError:
            self._failed(address.host, f"no answer within {LOOKUP_SECONDS_MAX:g} s")
        except OSError as error:
            self._failed(address.host, error.strerror or str(error))
        else:
            self._answers[address] = answer
            self._count("ok")
            if address.host in self._failing:
                self._failing.discard(address.host)
                _log.info("upstream %s: %s is found again", self._name, address.host)

    def _failed(self, host: str, why: str) -> None:
        self._count("failed")
        if host not in self._failing:
            self._failing.add(host)
            _log.warning(
                "upstream %s: %s cannot be looked up, its last addresses stay: %s",
                self._name,
                host,
                why,
            )

    async def _choose(self, address: Address, found: Sequence[str]) -> list[Address]:
        """Return the targets that an answer means; raise `OSError` when it means none."""
        unique = list(dict.fromkeys(found))
        versions = {"any": (4, 6), "ipv4": (4,), "ipv6": (6,)}[self._family]
        fit = [host for host in unique if ip_address(host).version in versions]
        if not fit:
            raise OSError(f"it has no address of the wanted family ({self._family})")
        first, second = _kinds([_at(address, host) for host in fit])
        if first and second:
            first = await self._preferred(first, second)
        # The order of an answer changes from one to the next, and means nothing once each is a target.
        return sorted(first[:ADDRESSES_MAX], key=lambda target: ip_address(target.host).packed)

    async def _preferred(self, first: list[Address], second: list[Address]) -> list[Address]:
        """Return the kind of addresses that can be connected to, the first one if both can; both if none can.

        One address stands for all of its kind: it is the way to them that works or does not.
        """
        winner = await race(
            lambda: self._reach(first[0]), lambda: self._reach(second[0]), _HEAD_START_SECONDS
        )
        return [first, second, first + second][winner]


async def race(
    first: Callable[[], Coroutine[Any, Any, bool]],
    second: Callable[[], Coroutine[Any, Any, bool]],
    head_start_seconds: float,
) -> int:
    """Return which attempt succeeds first: 0, 1, or 2 for none. `second` begins later, or when `first` has failed.

    The happy eyeballs of RFC 8305.
    """
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(first())]
        done, _ = await asyncio.wait(running, timeout=head_start_seconds)
        if done and running[0].result():
            return 0
        running.append(tasks.create_task(second()))
        waiting = set(running)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for index, attempt in enumerate(running):
                if attempt in done and attempt.result():
                    for loser in waiting:
                        loser.cancel()
                    return index
    return 2


def is_name(host: str) -> bool:
    """Tell whether `host` has to be looked up."""
    try:
        ip_address(host)
    except ValueError:
        return bool(host)
    return False


def _kinds(addresses: list[Address]) -> tuple[list[Address], list[Address]]:
    """Return the addresses of the kind that the first one is of, and the others."""
    is_v6 = ":" in addresses[0].host
    first = [address for address in addresses if (":" in address.host) == is_v6]
    return first, [address for address in addresses if address not in first]


def _at(address: Address, host: str) -> Address:
    """Return the address with an IP address in place of its name, which stays the one for TLS and `Host`."""
    return replace(
        address,
        host=host,
        server_name=address.server_name or address.host,
        authority=address.authority or address.label,
    )
