"""Every metric of the gateway, declared once.

The recorder, the exposition and the reference in `docs/` read this table; a metric that is not here
cannot be exported. Names follow the Prometheus practices: base units, `_total` for counters, label
values from closed sets only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from gateway.domain.closing import Closed, Refused
from gateway.domain.shadow import RuleKind

Kind = Literal["counter", "gauge", "histogram", "info"]

Merge = Literal["sum", "min", "max"]
"""How the readings of several processes become one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric: `name` without the namespace, upper bounds of `buckets` in the metric's unit.

    `is_watched` families are read from their owner at each scrape; the others accumulate. `merge` says what several
    workers' readings make together: a sum of what each has, or the least or greatest of what each thinks of the same.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    is_watched: bool = False
    merge: Merge = "sum"


def _counter(name: str, meaning: str, *labels: str, is_watched: bool = False) -> Family:
    return Family(name=name, kind="counter", meaning=meaning, labels=labels, is_watched=is_watched)


def _gauge(name: str, merge: Merge, meaning: str, *labels: str) -> Family:
    return Family(
        name=name, kind="gauge", meaning=meaning, labels=labels, is_watched=True, merge=merge
    )


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Family:
    return Family(name=name, kind="histogram", meaning=meaning, labels=labels, buckets=buckets)


REQUEST_BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
OVERHEAD_BUCKETS: Final = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
)  # fmt: skip
STORE_BUCKETS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
)  # fmt: skip
LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

FAMILIES: Final[tuple[Family, ...]] = (
    _counter(
        "requests_total",
        "Requests answered, by who answered: `gateway`, `upstream`, or the gateway to a proxy that asked "
        "(`forward_auth`); code 0: nothing was sent.",
        "route", "method", "code", "source",
    ),
    _histogram(
        "request_duration_seconds",
        "Time from the first byte of a request's head to the last byte of its answer.",
        REQUEST_BUCKETS,
        "route",
    ),
    _histogram(
        "overhead_seconds",
        "Time of a request that was not spent on the upstream.",
        OVERHEAD_BUCKETS,
    ),
    _histogram(
        "upstream_request_duration_seconds",
        "Time spent on the upstream, for requests that contacted it.",
        REQUEST_BUCKETS,
        "upstream",
    ),
    _counter(
        "upstream_requests_total",
        "Requests meant for an upstream, by what became of them there; `retried` ones come on top.",
        "upstream", "outcome",
    ),
    _gauge(
        "upstream_up", "min",
        "Whether an upstream has a target that should get requests (1) and its breaker is not open.",
        "upstream",
    ),
    _gauge(
        "upstream_target_up", "min",
        "Whether a target should get requests (1), or is down or ejected (0).",
        "upstream", "target",
    ),
    _gauge(
        "upstream_outstanding_requests", "sum",
        "Requests that a target has, or that wait for a connection to it.",
        "upstream", "target",
    ),
    _gauge(
        "upstream_waiting_requests", "sum",
        "Requests that wait for a connection to a target because there are `connections_max`.",
        "upstream", "target",
    ),
    _gauge(
        "upstream_idle_connections", "sum",
        "Connections to a target that are ready for a request.",
        "upstream", "target",
    ),
    _counter(
        "upstream_ejections_total",
        "How often a target was taken out for what it did to requests.",
        "upstream",
        is_watched=True,
    ),
    _gauge(
        "upstream_breaker_state", "max",
        "State of the breaker of an upstream that has one: the current state is 1, the others 0.",
        "upstream", "state",
    ),
    _counter(
        "upstream_probes_total",
        "Active health checks, by what came of them; only `ok` is good.",
        "upstream", "outcome",
    ),
    _counter(
        "upstream_lookups_total",
        "Look-ups of the names of targets; after one that `failed` the last good answer stays.",
        "upstream", "outcome",
    ),
    _counter(
        "auth_decisions_total",
        "Requests by decision: `accepted`, or the reason why the gateway refused or failed.",
        "reason",
    ),
    _counter(
        "ratelimit_decisions_total",
        "Requests that drew on a limit, by the policy that decided; `degraded` ones were let in by a share of a limit "
        "while Redis did not answer; `shadow_denied` ones, which a plan in shadow mode would have refused, are "
        "counted on top.",
        "policy", "outcome",
    ),
    _gauge(
        "limiter_up", "min",
        "Whether the Redis that counts limits answers (1) or not (0); only where limits are in Redis.",
    ),
    _counter(
        "shadow_denials_total",
        "What rules in shadow mode would have refused, by kind of rule: "
        f"{', '.join(f'`{kind.value}`' for kind in RuleKind)}.",
        "rule_kind", "route",
    ),
    _counter(
        "ratelimit_buckets_forgotten_total",
        "Buckets forgotten before they were full again, because there are too many: their owners may get more than "
        "their limit.",
        is_watched=True,
    ),
    _counter("request_bytes_total", "Bytes of request bodies received.", "route"),
    _counter("response_bytes_total", "Bytes of response bodies sent.", "route"),
    _gauge("in_flight_requests", "sum", "Requests that have begun and not ended."),
    _gauge(
        "open_streams", "sum",
        "Tunnels, event streams, and other requests that have gone on for a second.",
        "kind",
    ),
    _counter(
        "streams_closed_total",
        "Requests that were let through and then cut, by the reason that would refuse them now.",
        "cause",
        is_watched=True,
    ),
    _gauge("connections", "sum", "Open downstream connections."),
    _gauge("connections_max", "sum", "How many downstream connections there may be."),
    _counter(
        "connections_refused_total",
        "Connections closed before they were served, by cause: "
        f"{', '.join(f'`{cause.value}`' for cause in Refused)}.",
        "cause",
        is_watched=True,
    ),
    _counter(
        "connections_closed_total",
        "Connections that ended after they were served, by the first cause: "
        f"{', '.join(f'`{cause.value}`' for cause in Closed)}.",
        "cause",
        is_watched=True,
    ),
    _counter(
        "tls_handshakes_total",
        "TLS handshakes of the public listener, by how they ended: well (`full`, `resumed`), by the client (`closed`, "
        "`client_alert`), by a bound (`timeout`, `too_many`, `refused`: a limit on connections or a wrong PROXY "
        "header), or for what they lacked (`plain_http`, `not_tls`, `version`, `cipher`, `unknown_name`, "
        "`client_certificate`, `other`).",
        "outcome",
    ),
    _gauge(
        "tls_certificate_expiry_timestamp_seconds", "min",
        "When a certificate in use expires (epoch seconds), by its first host.",
        "listener", "name",
    ),
    _gauge("keys", "max", "API keys in the store.", "state", "environment"),
    _gauge(
        "keys_expiring", "max",
        "Keys in use, or suspended, that expire within that time from now: `1d`, `7d`, `30d`.",
        "within",
    ),
    _gauge(
        "key_expiry_timestamp_seconds", "max",
        "When a key expires (epoch seconds): of those that do within 30 days, the 100 that do first. `keys_expiring` "
        "counts all.",
        "key_id",
    ),
    _gauge(
        "keys_rotation_overdue", "max",
        "Keys that `policies.rotation` wants to have been replaced by now.",
    ),
    _gauge(
        "store_up", "min",
        "Whether the last contact with the key store, and the last one that wrote, succeeded (1) or not (0).",
    ),
    _gauge(
        "key_snapshot_age_seconds", "max",
        "How old the snapshot of the keys is by which known keys are served while the store does not answer; infinite "
        "when there is none, 0 where none is kept.",
    ),
    _gauge(
        "degraded", "max",
        "Whether this gateway goes on without something, by the rule in `on_failure` (1), or not (0).",
        "dependency",
    ),
    _histogram(
        "store_operation_duration_seconds",
        "Time that operations of the key store took.",
        STORE_BUCKETS,
        "op",
    ),
    _gauge(
        "nodes", "max",
        "Gateways that share the store, as this one sees them: `live`, or `lost` (no sign of life within the lease).",
        "state",
    ),
    _gauge(
        "node_is_leader", "sum",
        "Whether this gateway does what one of all does: looks after keys, sets checkpoints (1), or not (0).",
    ),
    _gauge(
        "node_lease_seconds", "min",
        "How long this gateway may still serve keys from memory without having reached the store; at 0 it asks the "
        "store about every request.",
    ),
    _gauge("config_generation", "max", "Number of the configuration in force; grows with each reload."),
    _gauge("config_last_reload_successful", "min", "Whether the last reload succeeded (1) or not (0)."),
    _gauge(
        "config_last_reload_success_timestamp_seconds", "max",
        "When the configuration in force was loaded (epoch seconds).",
    ),
    _counter(
        "config_reloads_total",
        "Attempts to take another configuration: `applied`, `refused`, or `rolled_back` to the one before.",
        "result",
    ),
    _gauge(
        "config_rolled_back", "max",
        "Whether the configuration in force was taken by a rollback (1): its files hold another one, which the next "
        "start would take.",
    ),
    _gauge(
        "config_restart_needed", "max",
        "Number of changed keys that wait for a restart, because no reload can apply them.",
    ),
    _gauge(
        "config_retiring_upstreams", "max",
        "Upstreams and routes that a reload changed or removed and that requests from before it still use.",
    ),
    _histogram(
        "event_loop_lag_seconds",
        "How late a timer of the event loop fired.",
        LAG_BUCKETS,
    ),
    _histogram(
        "revocation_propagation_seconds",
        "Time from the commit of a change of a key or tenant until no worker, and no other gateway, serves by what was "
        "before.",
        LAG_BUCKETS,
    ),
    _gauge(
        "revocations_pending", "sum",
        "Workers that neither acknowledged a change of a key or tenant nor could be killed for it, and other gateways "
        "that did not acknowledge it in time: they may still serve by what was before. Anything but 0 is an alarm.",
    ),
    _gauge(
        "event_loop_tasks", "sum",
        "Tasks of the event loop; a number that only grows is a leak.",
    ),
    _counter(
        "access_log_dropped_total",
        "Access log lines lost because the queue was full or the sink failed.",
        is_watched=True,
    ),
    _counter(
        "request_log_dropped_total",
        "Requests missing in the request log because the queue was full or the disk failed.",
        is_watched=True,
    ),
    _gauge(
        "request_log_up", "min",
        "Whether the request log takes what is to be written (1) or not (0); only where it is kept.",
    ),
    _counter(
        "traced_requests_total",
        "Requests that were traced, by what became of their spans: `exported`, `dropped` (too many waited) or `failed` "
        "(the collector did not take them).",
        "outcome",
        is_watched=True,
    ),
    _gauge("request_log_bytes", "max", "Room that the request log takes."),
    _counter(
        "audit_events_total",
        "Records of the audit trail, by event; those that another process wrote are among them.",
        "type",
    ),
    _counter(
        "audit_dropped_total",
        "Records missing in the audit trail because the store did not answer: logins and reloads. A change that is not "
        "in the trail was not made.",
        is_watched=True,
    ),
    _gauge("audit_head_seq", "max", "Number of the last record of the audit trail."),
    _gauge(
        "audit_intact", "min",
        "Whether the audit trail still holds all that was signed (1), or was changed (0): `tollhouse audit verify`.",
    ),
    _gauge("alerts_firing", "max", "Alerts that have fired and are not over, by rule.", "rule"),
    _gauge(
        "alerts_evaluated_timestamp_seconds", "max",
        "When all rules of alerts were looked at last (epoch seconds).",
    ),
    _counter(
        "alert_notifications_total",
        "Attempts to deliver a message about alerts: `delivered`, `retried` (to be tried again) or `dead` (given up).",
        "channel", "outcome",
    ),
    _gauge(
        "alert_messages", "max",
        "Messages about alerts that are not delivered: `waiting` for another attempt, or `dead` letters.",
        "channel", "state",
    ),
    _counter(
        "key_requests_total",
        "Requests with an API key, of the keys with the most (`telemetry.per_key`) and of all others together; a key "
        "that leaves the top is counted among the others.",
        "tenant", "key_id",
        is_watched=True,
    ),
    _counter(
        "usage_folded_total",
        "Requests whose usage was counted for `__other__`, because too many keys were active between two writes.",
        is_watched=True,
    ),
    _counter(
        "recorder_errors_total",
        "Outcomes that a recorder failed to record.",
        "recorder",
        is_watched=True,
    ),
    _counter(
        "series_dropped_total",
        "Label sets folded into `__other__` because the series budget is spent.",
        "metric",
    ),
    Family(
        name="build_info",
        kind="info",
        meaning="Version, interpreter, revision and build (`pure` or `compiled`) of the running gateway; always 1.",
        labels=("version", "python", "revision", "build"),
    ),
)  # fmt: skip

ACCUMULATING: Final = {
    family.name: family
    for family in FAMILIES
    if not family.is_watched and family.kind in ("counter", "histogram")
}
"""The families that are added to, by name."""
