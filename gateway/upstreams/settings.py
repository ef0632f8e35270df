"""What the configuration says about an upstream, in the words of this room."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gateway.domain.affinity import Affinity
from gateway.domain.timeouts import Timeouts
from gateway.upstreams.breaker import BreakerRules
from gateway.upstreams.health import EjectionRules

Balance = Literal["round_robin", "least_outstanding", "two_choices", "hash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """`attempts` is how often a request may be sent; `causes` (`reset`, `timeout`, `status`) are worth another.

    `statuses` are those that `status` means.

    `share` and `per_second_min` are those of the `RetryBudget`.
    """

    attempts: int = 2
    causes: frozenset[str] = frozenset({"reset"})
    statuses: frozenset[int] = frozenset()
    share: float = 0.2
    per_second_min: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a service chooses, and what it does about failures.

    `host` is the `Host` value to send, empty to preserve the client's; with `has_own_host` it differs by target.
    `base_path` is the raw prefix of every request path. `affinity` is for `balance` hash. `breaker` None is none.
    """

    timeouts: Timeouts = field(default_factory=Timeouts)
    host: bytes = b""
    has_own_host: bool = False
    base_path: bytes = b""
    balance: Balance = "round_robin"
    affinity: Affinity | None = None
    load_max: float = 0.0
    panic_uses_all: bool = True
    retry: RetryRules = field(default_factory=RetryRules)
    ejection: EjectionRules = field(default_factory=EjectionRules)
    breaker: BreakerRules | None = None
    breaker_statuses: frozenset[int] = frozenset()
