"""How whoever makes requests is told apart, as the configuration says."""

from __future__ import annotations

from gateway.assembly.access_logs import redactor
from gateway.assembly.generation import address_rules
from gateway.config import model
from gateway.telemetry.usage_visitors import VisitorRules


def visitor_rules(config: model.Config, before: model.Config | None = None) -> VisitorRules:
    """Return the rules for visitors; what looked like a key `before` is redacted, too."""
    section = config.usage
    resolver = address_rules(config).resolver

    def is_trusted(peer: str) -> bool:
        return resolver.resolve_peer(peer).is_trusted_peer

    # A database knows better than what a field says.
    header = "" if section.geoip_database else section.country_header
    return VisitorRules(
        redactor=redactor(config, before),
        ipv4_prefix=section.networks.ipv4_prefix,
        ipv6_prefix=section.networks.ipv6_prefix,
        country_header=header.lower().encode("ascii"),
        is_trusted=is_trusted,
    )
