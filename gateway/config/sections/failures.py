"""What becomes of requests, and of what is told of them, while something that the gateway needs does not answer."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from gateway.config.sections.base import RESTART, Applies, FromText, Section
from gateway.config.sections.values import Duration


def _a_second(seconds: float) -> float:
    if seconds < 1.0:
        raise ValueError("must be a second or more; `on_failure.keys: deny` believes nothing")
    return seconds


class OnKeyFailure(Section):
    """The key store does not answer; a bare word stands for `mode`."""

    applies: ClassVar[Applies] = "hot"

    mode: Literal["last_known_good", "deny"] = Field("last_known_good", json_schema_extra=RESTART)
    """`last_known_good`: known keys go on working, by what is in memory and by the snapshot
    (`store.snapshot`), also after a restart; unknown ones are answered 503. `deny`: as soon as it is
    noticed that the store does not answer, every key is answered 503, and no snapshot is kept."""
    max_age: Annotated[Duration, AfterValidator(_a_second)] | None = None
    """How long after the last contact with the store known keys go on working; then they are answered
    503, too. Null: an hour where keys are kept in a file; where gateways share a database as long as
    `cluster.lease`, which bounds it in any case."""


class OnFailure(Section):
    """What becomes of requests while something that they need does not answer. Each dependency takes the modes
    that mean something for it."""

    keys: Annotated[OnKeyFailure, FromText("mode")] = Field(default_factory=OnKeyFailure)
    """The key store does not answer; a bare word stands for `mode`."""
    limits: Literal["local", "deny"] = "local"
    """Where limits are counted in Redis: `local` goes on with `limits.local_share` of each limit,
    `deny` answers 503."""
    audit: Literal["drop_and_count", "deny"] = "drop_and_count"
    """The request log (`request_log`) cannot be written: `drop_and_count` serves requests that are
    missing in it, and counts them; `deny` answers 503 until it can be written again."""
    usage: Literal["drop_and_count"] = "drop_and_count"
    """Usage cannot be written: it waits in memory. Beyond `usage.counts_max` what is counted loses its
    detail, which is counted; at a stop, what still waits is lost."""
    geoip: Literal["last_known_good", "drop_and_count"] = "last_known_good"
    """The GeoIP database cannot be read: the one that was read last is used. Where none was, at a
    start, `last_known_good` refuses to start and `drop_and_count` tells of no countries until there
    is one."""
    alerts: Literal["drop_and_count"] = "drop_and_count"
    """A channel does not take messages: they are kept and tried again for hours, then given up and
    counted."""
    config: Literal["last_known_good"] = "last_known_good"
    """A changed configuration cannot be read or used: the one in force stays. A start needs one."""
