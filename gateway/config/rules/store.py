"""The store: what is said of a database is said where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from gateway.config.model import Cluster, Config, Store, StoreTls
from gateway.config.problems import Finding
from gateway.config.rules.names import Declared
from gateway.domain.database_address import read_address

_OF_DATABASES = ("session_url", "prepared_statements", "connections_max", "tls")


def store(config: Config, _declared: Declared) -> Iterator[Finding]:
    """Nothing stands there without an effect, and a certificate has somebody to be shown to."""
    section = config.store
    address = section.url.get_secret_value()
    yield from _failure(config, is_shared=bool(address))
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


def _failure(config: Config, *, is_shared: bool) -> Iterator[Finding]:
    """What is asked of a broken store can be had."""
    keys = config.on_failure.keys
    if config.store.snapshot and PurePath(config.store.snapshot) == PurePath(config.store.path):
        yield Finding(("store", "snapshot"), "is the store itself", "name another file")
    if keys.mode == "deny":
        if keys.max_age is not None:
            message = "has no effect: with `mode: deny` nothing is believed"
            yield Finding(("on_failure", "keys", "max_age"), message, "leave it out")
        if config.store.snapshot:
            message = "has no effect: with `on_failure.keys: deny` no snapshot is kept"
            yield Finding(("store", "snapshot"), message, "leave it out")
    elif is_shared and keys.max_age is not None and keys.max_age > config.cluster.lease:
        message = (
            "is longer than `cluster.lease`: after that the other gateways do without this one's answer, and"
            " a revoked key would go on working here"
        )
        hint = (
            "raise `cluster.lease`, and a revocation waits that long for a gateway that is cut off"
        )
        yield Finding(("on_failure", "keys", "max_age"), message, hint)
