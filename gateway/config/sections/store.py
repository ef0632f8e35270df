"""Where keys and all that happens to them are kept, and the gateways that share it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from gateway.config.sections.base import RESTART, Section
from gateway.config.sections.values import Count, Duration, Flag, Label, OptionalName
from gateway.domain.database_address import read_address

_LEASE_SECONDS_MIN = 1.0


def _an_address(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        read_address(value.get_secret_value())
    return value


def _a_second(seconds: float) -> float:
    if seconds < _LEASE_SECONDS_MIN:
        raise ValueError("must be a second or more: a busy machine stands still for longer")
    return seconds


DatabaseUrl = Annotated[SecretStr, AfterValidator(_an_address), Label("secret")]
"""An address such as `postgresql://user:password@host:5432/database`, or empty for none."""


class StoreTls(Section):
    """What TLS to the database needs; all files are PEM."""

    ca: str = Field("", json_schema_extra=RESTART)
    """Authorities that may vouch for the server. Empty: those of the system."""
    certificate: str = Field("", json_schema_extra=RESTART)
    """Certificate that the gateway shows, where the server asks for one."""
    key: str = Field("", json_schema_extra=RESTART)
    """Its key, not encrypted. Empty: it stands in the file of the certificate."""


class Store(Section):
    """The system of record for keys and tenants, and the cache in front of it; a bare address stands for `url`."""

    path: Annotated[str, Field(min_length=1), Label("path")] = Field(
        "data/tollhouse.db", json_schema_extra=RESTART
    )
    """SQLite file, created when missing. A relative path starts at the folder of this file. With `url`
    nothing is kept there, but the audit key stands beside it."""
    snapshot: Annotated[str, Label("path or empty")] | None = Field(None, json_schema_extra=RESTART)
    """File with a signed snapshot of the keys, by which known keys are served while the store does not
    answer (`on_failure.keys`), also after a restart. A second one, with its latest changes, lies beside
    it. Null: beside `path`, with the ending `.snapshot`. Empty: none is kept."""
    url: DatabaseUrl = Field(SecretStr(""), json_schema_extra=RESTART)
    """A PostgreSQL database instead, 14 or newer, which several gateways may share:
    `postgresql://user@host/database`, several hosts with commas between them. Unless it ends with
    `?sslmode=...`, everything beyond this machine goes over TLS to a server that proves its name.
    Without a password in it, that is taken from PGPASSFILE or PGPASSWORD."""
    session_url: DatabaseUrl = Field(SecretStr(""), json_schema_extra=RESTART)
    """The same database without a pooler in between, for the one connection that listens to the other
    gateways. Needed where `url` leads to PgBouncer in transaction mode."""
    prepared_statements: Flag = Field(True, json_schema_extra=RESTART)
    """Let the database remember statements. Off: for a pooler that does not (PgBouncer before 1.21)."""
    connections_max: Count = Field(4, json_schema_extra=RESTART)
    """Most connections to the database for look-ups of keys, of each process, and as many again of the
    gateway for everything else."""
    tls: StoreTls = Field(default_factory=StoreTls)
    """What TLS to the database needs."""
    cache_keys_max: Count = 100000
    """Keys held in memory; the least used leave first. The 8,192 used last take about 1.6 KB each,
    every further one 0.4 KB: the default is 50 MB when it is full. A key that is not in memory is
    looked up in the store."""
    negative_ttl: Duration = 5.0
    """How long an unknown key is remembered as unknown, so that guessing does not reach the store.
    """
    poll: Duration = 1.0
    """How often the store is asked for changes that another process made: the longest time that a
    revocation made elsewhere can take. Gateways that share a database tell each other at once."""


class Cluster(Section):
    """How gateways that share a database (`store.url`) wait for each other."""

    node: OptionalName = Field("", json_schema_extra=RESTART)
    """What this gateway is called where several are listed. Empty: the name of its host."""
    lease: Annotated[Duration, AfterValidator(_a_second)] = Field(10.0, json_schema_extra=RESTART)
    """How long this gateway serves keys from memory after it last reached the database; then it asks the
    database about every request. A change that it has not acknowledged waits for that long at most.
    Longer outlives longer outages of the database, and lets a revocation reach a gateway that is cut
    off later: until then the revocation says so."""
    acknowledge_timeout: Duration = 3.0
    """How long a change of a key or tenant waits for the other gateways before it names those that have
    not acknowledged it (202). Longer than every `lease`, and it never has to."""
