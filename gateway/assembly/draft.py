"""The part of a configuration's meaning that is computed and touches nothing: it may be made in a thread.

Knows how the typed config becomes what requests, keys and listeners are judged by. It must not know sockets, the event
loop or what runs at present.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.assembly import generation as build
from gateway.assembly import policy
from gateway.assembly.room import connections_max
from gateway.assembly.share import Share
from gateway.config import model
from gateway.config.rules.files import named_by
from gateway.config.sources import Sources
from gateway.domain.dialects.render import Dialect
from gateway.domain.digest import Peppers
from gateway.domain.key_format import KeyFormats
from gateway.domain.limits import Plan
from gateway.domain.passage import Border
from gateway.domain.routes import RouteTable
from gateway.domain.scopes import ScopeCatalogue
from gateway.http1.request_head import HeadLimits
from gateway.listeners.peer import AddressRules
from gateway.listeners.public import ListenerSettings
from gateway.pipeline.generation import Voice

_ALL: Final = Share()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What `config` means, before it runs."""

    config: model.Config
    plans: Mapping[str, Plan]
    scopes: ScopeCatalogue
    peppers: Peppers
    formats: KeyFormats
    table: RouteTable
    barred: frozenset[tuple[str, str]]
    border: Border
    voices: Mapping[str, Voice]
    problem: Dialect | None
    addresses: AddressRules
    settings: ListenerSettings
    upstream_files: Mapping[str, Sources]
    """What the files hold that belong to an upstream, by its name."""


def draft(
    config: model.Config,
    config_path: Path,
    plans_before: Mapping[str, Plan] | None = None,
    share: Share = _ALL,
) -> Draft:
    """Return the draft of `config`, for a process with this `share`; takes about 70 ms per thousand routes."""
    plans = policy.plans(config, plans_before)
    return Draft(
        config=config,
        plans=plans,
        scopes=policy.scopes(config),
        peppers=policy.peppers(config),
        formats=policy.key_formats(config),
        table=RouteTable(policy.routes(config, plans)),
        barred=policy.barred(config),
        border=build.border(config),
        voices=build.voices(config),
        problem=build.dialect(config, "problem") if config.dialect.problem_on_accept else None,
        addresses=build.address_rules(config),
        settings=listener_settings(config, share),
        upstream_files={
            name: Sources({}, {}).also(named_by(section, config_path.parent))
            for name, section in config.upstreams.items()
        },
    )


def listener_settings(config: model.Config, share: Share) -> ListenerSettings:
    """Return what the public listener may be told while it runs. Raises `CannotStart` where nothing fits."""
    section = config.listeners.public
    return ListenerSettings(
        proxy_protocol=section.proxy_protocol,
        connections_max=connections_max(config, share),
        connections_per_address_max=section.connections_per_address_max or 0,
        head_timeout_seconds=section.head_timeout,
        body_timeout_seconds=section.body_timeout,
        body_rate_min=section.body_rate_min or 0,
        idle_timeout_seconds=section.idle_timeout,
        write_timeout_seconds=section.write_timeout,
        write_rate_min=section.write_rate_min or 0,
        requests_per_connection_max=section.requests_per_connection_max,
        lifetime_seconds=section.connection_lifetime,
        head_limits=HeadLimits(
            target_bytes_max=section.target_bytes_max,
            head_bytes_max=section.head_bytes_max,
            head_fields_max=section.head_fields_max,
        ),
    )
