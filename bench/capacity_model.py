"""What a load needs: from requests, keys and streams to cores, memory, disk, and operations of Redis and PostgreSQL.

Pure: measured constants, each with the command that measures it, and sums of products of them. Another machine may
be half or twice as fast: measure yours with the same commands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from gateway.control.beat import USAGE_SECONDS
from gateway.telemetry.usage_writer import EAGER_MAX, LAZY_SECONDS

DAY: Final = 86_400.0
BUSY_MAX: Final = 0.7
"""How busy a core may be on average, so that its queue stays short."""


class Cost(NamedTuple):
    """One measured constant. `measured_by` is the command that measures it."""

    value: float
    unit: str
    measured_by: str


COSTS: Final[Mapping[str, Cost]] = {
    "request": Cost(52, "us of CPU", "make bench"),
    "request, compiled": Cost(35, "us of CPU", "make bench"),
    "new head": Cost(0.38, "of a request more", "make bench-instructions"),
    "refusal": Cost(0.5, "of a request", "make bench"),
    "kilobyte": Cost(0.7, "us of CPU", "make bench"),
    "several workers": Cost(1.16, "times", "make bench-workers"),
    "key from SQLite": Cost(170, "us of CPU", "make bench-capacity"),
    "key from PostgreSQL": Cost(280, "us of CPU", "make bench-capacity"),
    "exact limits": Cost(25, "us of CPU", "make bench-limits"),
    "leased limits": Cost(13, "us of CPU", "make bench-limits"),
    "event of a stream": Cost(50, "us of CPU", "make bench-streams"),
    "usage in SQLite": Cost(30, "us of CPU per key on a route and write", "make bench-usage"),
    "usage in PostgreSQL": Cost(20, "us of CPU per key on a route and write", "make bench-usage"),
    "usage, PostgreSQL's part": Cost(
        22, "us of CPU per key on a route and write", "make bench-usage"
    ),
    "who, PostgreSQL's part": Cost(19, "us of CPU per row of who", "make bench-usage"),
    "process": Cost(92e6, "bytes", "make bench-capacity"),
    "bound key": Cost(1_600, "bytes", "make bench-keys"),
    "resting key": Cost(400, "bytes", "make bench-keys"),
    "connection": Cost(2_400, "bytes", "make bench-hostile"),
    "stream": Cost(7_800, "bytes", "make bench-streams"),
    "key in SQLite": Cost(1_310, "bytes", "make bench-capacity"),
    "key in PostgreSQL": Cost(1_340, "bytes", "make bench-capacity"),
    "tenant": Cost(300, "bytes", "make bench-capacity"),
    "change": Cost(1_600, "bytes", "make bench-capacity"),
    "usage cell": Cost(200, "bytes", "make bench-usage"),
    "facet": Cost(140, "bytes", "make bench-capacity"),
    "line of the request log": Cost(600, "bytes", "make bench-capacity"),
    "line of the access log": Cost(600, "bytes", "make bench-capacity"),
    "bucket in Redis": Cost(230, "bytes", "make bench-limits"),
    "call of Redis": Cost(32, "us of CPU", "make bench-limits"),
    "exact calls": Cost(1.0, "per request", "make bench-limits"),
    "leased calls": Cost(0.2, "per request", "make bench-limits"),
    "statements of the leader": Cost(13.0, "per second", "make bench-capacity"),
    "statements of another gateway": Cost(9.0, "per second", "make bench-capacity"),
    "statements of a gateway that serves": Cost(5.0, "per second more", "make bench-capacity"),
    "statements of a key from PostgreSQL": Cost(1.0, "per key", "make bench-capacity"),
    "statements of a change": Cost(14.0, "per change", "make bench-capacity"),
    "statements of a change elsewhere": Cost(5.0, "per change and gateway", "make bench-capacity"),
    "rows of usage": Cost(2.0, "per key on a route and write", "make bench-capacity"),
    "rows of who": Cost(2.0, "per key and write", "make bench-capacity"),
    "statement": Cost(400, "us of CPU", "make bench-capacity"),
    "backup": Cost(20e6, "bytes per second", "make bench-capacity"),
}

BOUND_KEYS: Final = 8_192
"""Keys of a process that are kept ready, those used last; further ones rest in less room."""

BUCKETS_PER_KEY: Final = 2
"""A key's own, and its share of those of its tenant and its routes."""

FACETS_PER_KEY: Final = 3
"""Networks, countries and user agents from which a key is used, in an hour."""

REQUEST_LOG_BYTES: Final = 10e9
"""`request_log.bytes_max`: the oldest requests leave first."""

POSTGRES_CORES: Final = 4
"""An ordinary database server; it uses as many as there are gateways."""

REDIS_BUSY_MAX: Final = 0.9
SQLITE_CHANGES_MAX: Final = 150.0
"""Changes of keys a second, each forced to the disk (`make bench-revocation`)."""

USAGE_PAIRS_MAX: Final = 50_000
"""Keys on routes that a process tells apart between two writes (`usage.counts_max`)."""

JUDGED_PER_MINUTE: Final = 5_000
"""Keys that a look for alerts sees of those for which a lead time has begun, for each lead time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is asked for; shares are between 0 and 1, rates per second, of all gateways together."""

    requests: float = 1_000.0
    new_heads: float = 0.2
    """Share of requests whose head (key, target, fields) none of a moment ago had."""
    refused: float = 0.02
    absent_keys: float = 0.001
    """Share of requests with a key that is not in the memory of the process."""
    kilobytes: float = 2.0
    """Content of request and answer together."""
    keys: int = 10_000
    active_keys: int = 1_000
    """Keys that are used within an hour."""
    active_minutes: float = 0.1
    """Share of the minutes of a day in which an active key is used on a route."""
    routes_per_key: float = 3.0
    key_days: float = 90.0
    """Days that a key lives; of keys that never expire, leave them out."""
    tenants: int = 500
    connections: int = 1_000
    streams: int = 0
    stream_events: float = 0.0
    gateways: int = 1
    workers: int = 1
    store: Literal["sqlite", "postgresql"] = "sqlite"
    limits: Literal["memory", "exact", "leased"] = "memory"
    compiled: bool = False
    changes_per_day: float = 1_000.0
    """Changes of keys, tenants and tokens, each of which is a record of the audit trail."""
    minute_days: float = 2.0
    hour_days: float = 90.0
    day_days: float = 730.0
    facet_days: float = 30.0
    cache_keys_max: int = 100_000


class Line(NamedTuple):
    """One thing that is needed, and how the number came about."""

    what: str
    amount: float
    unit: str
    how: str


class Ceiling(NamedTuple):
    """Something that ends: how much of it is used, and what to do before that."""

    what: str
    used: float
    then: str


def estimate(demand: Demand, costs: Mapping[str, Cost] = COSTS) -> list[Line]:
    """Return what `demand` needs."""
    return _Estimate(demand, costs).lines()


def ceilings(demand: Demand, costs: Mapping[str, Cost] = COSTS) -> list[Ceiling]:
    """Return what `demand` comes close to, the fullest first; `used` above 1 does not work."""
    found = _Estimate(demand, costs).ceilings()
    return sorted(found, key=lambda each: -each.used)


class _Estimate:
    """The sums; each method returns one of them."""

    def __init__(self, demand: Demand, costs: Mapping[str, Cost]) -> None:
        self._demand = demand
        self._costs = costs

    def _of(self, name: str) -> float:
        return self._costs[name].value

    # ---- rates

    @property
    def _engine(self) -> str:
        return "PostgreSQL" if self._demand.store == "postgresql" else "SQLite"

    @property
    def processes(self) -> int:
        """Processes that serve, of all gateways."""
        return self._demand.gateways * self._demand.workers

    def absent_keys(self) -> float:
        """Keys a second that are read from the store, also because memory has no room for all that are active."""
        asked = self._demand
        beyond = max(0.0, 1 - asked.cache_keys_max / max(asked.active_keys, 1))
        return asked.requests * max(asked.absent_keys, beyond)

    def redis_calls(self) -> float:
        """Operations of Redis a second."""
        if self._demand.limits == "memory":
            return 0.0
        calls: float = self._of(f"{self._demand.limits} calls")
        return self._demand.requests * (1 - self._demand.refused) * calls

    def changes(self) -> float:
        """Changes a second."""
        return self._demand.changes_per_day / DAY

    def statements(self) -> float:
        """Statements of PostgreSQL a second."""
        asked = self._demand
        if asked.store == "sqlite":
            return 0.0
        others = asked.gateways - 1
        elsewhere = others * self._of("statements of a change elsewhere")
        kept = self._of("statements of the leader")
        kept += others * self._of("statements of another gateway")
        if asked.requests:
            kept += asked.gateways * self._of("statements of a gateway that serves")
        return (
            kept
            + self.absent_keys() * self._of("statements of a key from PostgreSQL")
            + self.changes() * (self._of("statements of a change") + elsewhere)
        )

    def pairs_written(self) -> float:
        """Keys on routes that one gateway writes down each second: at each write those used since the last."""
        pairs = self._demand.active_keys * self._demand.routes_per_key
        return self._used_within(USAGE_SECONDS, pairs) / USAGE_SECONDS

    def _used_within(self, seconds: float, of: float) -> float:
        """How many of so many are used within some seconds by the requests of one gateway."""
        here = self._demand.requests / self._demand.gateways * seconds
        return -of * math.expm1(-here / of) if of else 0.0

    # ---- cores

    def request_micros(self) -> float:
        """CPU time of a gateway per request, on average."""
        asked = self._demand
        whole = self._of("request, compiled" if asked.compiled else "request")
        passed = whole * (1 + asked.new_heads * self._of("new head"))
        passed += asked.kilobytes * self._of("kilobyte")
        if asked.limits != "memory":
            passed += self._of(f"{asked.limits} limits")
        average = (1 - asked.refused) * passed + asked.refused * whole * self._of("refusal")
        return average * (self._of("several workers") if asked.workers > 1 else 1.0)

    def gateway_cores(self) -> float:
        """Cores that all gateways keep busy."""
        micros = self._demand.requests * self.request_micros()
        micros += self.absent_keys() * self._of(f"key from {self._engine}")
        micros += self._demand.gateways * self.usage_micros()
        micros += self._demand.stream_events * self._of("event of a stream")
        return micros / 1e6

    def usage_micros(self) -> float:
        """CPU time in which one gateway writes down a second of usage; one process does it."""
        return self.pairs_written() * self._of(f"usage in {self._engine}")

    def usage_rows(self) -> float:
        """Rows of usage that all gateways write in a second."""
        counts = self.pairs_written() * self._of("rows of usage")
        return self._demand.gateways * (counts + self.visitor_rows())

    def visitor_rows(self) -> float:
        """Rows of who made requests that one gateway writes in a second, at most: of many they are added up first."""
        keys, each = self._demand.active_keys, self._of("rows of who")
        at_once = min(EAGER_MAX, each * self._used_within(USAGE_SECONDS, keys)) / USAGE_SECONDS
        added_up = each * self._used_within(LAZY_SECONDS, keys) / LAZY_SECONDS
        return max(at_once, added_up)

    def redis_cores(self) -> float:
        """Cores that Redis keeps busy; it has one."""
        return self.redis_calls() * self._of("call of Redis") / 1e6

    def postgres_cores(self) -> float:
        """Cores that PostgreSQL keeps busy."""
        usage = self.pairs_written() * self._of("usage, PostgreSQL's part")
        usage += self.visitor_rows() * self._of("who, PostgreSQL's part")
        return (self.statements() * self._of("statement") + self._demand.gateways * usage) / 1e6

    # ---- memory

    def process_bytes(self) -> float:
        """Memory of one process that serves."""
        asked = self._demand
        kept = min(asked.active_keys, asked.cache_keys_max)
        bound = min(kept, BOUND_KEYS)
        held = bound * self._of("bound key") + (kept - bound) * self._of("resting key")
        held += asked.connections / self.processes * self._of("connection")
        held += asked.streams / self.processes * self._of("stream")
        return self._of("process") + held

    def gateway_bytes(self) -> float:
        """Memory of one gateway: its processes, and the one that leads several."""
        supervisor = self._of("process") if self._demand.workers > 1 else 0.0
        return self._demand.workers * self.process_bytes() + supervisor

    def redis_bytes(self) -> float:
        """Memory of Redis for buckets that are not full."""
        if self._demand.limits == "memory":
            return 0.0
        return self._demand.active_keys * BUCKETS_PER_KEY * self._of("bucket in Redis")

    # ---- disk

    def usage_bytes(self) -> float:
        """Room of usage in the store: minutes, hours and days of each key on each route, and who used it."""
        asked = self._demand
        pairs = asked.active_keys * asked.routes_per_key
        minutes = 1440 * asked.active_minutes * asked.minute_days
        cells = pairs * (minutes + 24 * asked.hour_days + asked.day_days)
        facets = asked.active_keys * FACETS_PER_KEY * 24 * asked.facet_days
        return cells * self._of("usage cell") + facets * self._of("facet")

    def record_bytes(self) -> float:
        """Room of keys and tenants in the store."""
        keys = self._demand.keys * self._of(f"key in {self._engine}")
        return keys + self._demand.tenants * self._of("tenant")

    def audit_bytes(self) -> float:
        """Room of a year of the audit trail."""
        return self._demand.changes_per_day * 365 * self._of("change")

    def log_hours(self) -> float:
        """Hours of requests that the request log of one gateway has room for."""
        rate = self._demand.requests / self._demand.gateways
        written = rate * 3600 * self._of("line of the request log")
        return REQUEST_LOG_BYTES / written if written else math.inf

    def access_log_bytes(self) -> float:
        """Room of a day of the access logs of all gateways."""
        return self._demand.requests * DAY * self._of("line of the access log")

    def store_bytes(self) -> float:
        """Room of the store after a year."""
        return self.record_bytes() + self.usage_bytes() + self.audit_bytes()

    # ---- together

    def lines(self) -> list[Line]:
        """Return all of it."""
        asked = self._demand
        cores = self.gateway_cores()
        micros = f"{self.request_micros():.0f} us per request"
        found = [
            Line("gateways: CPU", cores, "cores busy", micros),
            Line("gateways: cores", cores / BUSY_MAX, "cores to have", f"at most {BUSY_MAX:.0%} busy"),
            Line("each gateway: memory", self.gateway_bytes(), "bytes", "processes, keys, connections, streams"),
            Line("store: keys and tenants", self.record_bytes(), "bytes", f"{asked.keys:,} keys"),
            Line("store: usage", self.usage_bytes(), "bytes", "as long as `usage` keeps it"),
            Line("store: a year of audit", self.audit_bytes(), "bytes", f"{asked.changes_per_day:,.0f} changes a day"),
            Line("request log: a gateway's 10 GB last", self.log_hours(), "hours", "request_log.bytes_max"),
            Line("access log, all gateways", self.access_log_bytes(), "bytes a day", "rotated by you"),
            Line("store: look-ups of keys", self.absent_keys(), "per second", "not in memory"),
        ]  # fmt: skip
        if asked.store == "sqlite":
            found.append(
                Line("store: a backup takes", self.store_bytes() / self._of("backup"), "seconds", "while it runs")
            )  # fmt: skip
        else:
            found += [
                Line("PostgreSQL: statements", self.statements(), "per second", f"{asked.gateways} gateways"),
                Line("PostgreSQL: rows of usage", self.usage_rows(), "per second", "many at a time"),
                Line("PostgreSQL: CPU", self.postgres_cores(), "cores busy", "for these"),
            ]  # fmt: skip
        if asked.limits != "memory":
            found += [
                Line("Redis: operations", self.redis_calls(), "per second", asked.limits),
                Line("Redis: CPU", self.redis_cores(), "cores busy", "it has one"),
                Line("Redis: memory", self.redis_bytes(), "bytes", f"{BUCKETS_PER_KEY} buckets per active key"),
            ]  # fmt: skip
        return found

    def ceilings(self) -> Sequence[Ceiling]:
        """Return what may end."""
        asked = self._demand
        cores = self.gateway_cores() / self.processes / BUSY_MAX
        pairs = asked.active_keys * asked.routes_per_key / self.processes
        found = [
            Ceiling("CPU of the gateways", cores, "more workers, more gateways, the compiled build"),
            Ceiling("keys in memory", asked.active_keys / asked.cache_keys_max,
                    "a larger store.cache_keys_max: 0.4 KB per key and process"),
            Ceiling("usage told apart in one second", pairs / USAGE_PAIRS_MAX, "a larger usage.counts_max"),
            Ceiling("usage written in one second", self.usage_micros() / 1e6, "more gateways, on PostgreSQL"),
            Ceiling("alerts on keys that end, in the minute of a lead time",
                    asked.keys / (asked.key_days * DAY / 60) / JUDGED_PER_MINUTE,
                    "they are late by minutes then; spread the ends of keys"),
        ]  # fmt: skip
        if asked.store == "sqlite":
            found.append(
                Ceiling("changes in SQLite", self.changes() / SQLITE_CHANGES_MAX, "PostgreSQL")
            )
        else:
            cores = self.postgres_cores() / POSTGRES_CORES / BUSY_MAX
            then = (
                "a larger database; tenants to installations of their own: it is usage that writes"
            )
            found.append(Ceiling(f"PostgreSQL with {POSTGRES_CORES} cores", cores, then))
        if asked.limits != "memory":
            found.append(
                Ceiling("the core of Redis", self.redis_cores() / REDIS_BUSY_MAX,
                        "limits.mode: leased where buckets are busy; limits.cluster, by owner")
            )  # fmt: skip
        return found
