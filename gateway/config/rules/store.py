"""The store: what is said of a database is said where there is one."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.model import Cluster, Config, Store, StoreTls
from gateway.config.problems import Finding
from gateway.config.rules.names import Declared
from gateway.domain.database_address import read_address

_OF_DATABASES = ("session_url", "prepared_statements", "connections_max", "tls")


def store(config: Config, _declared: Declared) -> Iterator[Finding]:
    """Nothing stands there without an effect, and a certificate has somebody to be shown to."""
    section = config.store
    address = section.url.get_secret_value()
    if not address:
        yield from _idle(config)
        return
    read = read_address(address)
    if section.tls != StoreTls():
        if read.tls_mode == "disable" or (
            not read.tls_mode and read.is_local and not section.tls.ca
        ):
            message = "has no effect: the address asks for no TLS"
            yield Finding(("store", "tls"), message, "write ?sslmode=verify-full at its end")
        if section.tls.ca and read.tls_mode == "require":
            message = "has no effect: `sslmode=require` believes every server"
            yield Finding(("store", "tls", "ca"), message, "write ?sslmode=verify-full")
        if section.tls.key and not section.tls.certificate:
            message = "belongs to no certificate"
            yield Finding(("store", "tls", "key"), message, "set `certificate` as well")
    session = section.session_url.get_secret_value()
    if session and read_address(session).database != read.database:
        yield Finding(("store", "session_url"), "leads to another database than `url`")


def _idle(config: Config) -> Iterator[Finding]:
    defaults = Store()
    hint = "set `store.url`, or leave it out"
    for name in _OF_DATABASES:
        if getattr(config.store, name) != getattr(defaults, name):
            yield Finding(("store", name), "has no effect: keys are kept in a file", hint)
    if config.cluster != Cluster():
        yield Finding(("cluster",), "has no effect: a file is not shared between gateways", hint)
