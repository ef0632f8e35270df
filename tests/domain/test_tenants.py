from __future__ import annotations

from tests.key_samples import a_tenant


def test_the_switch_keeps_the_allowlist_without_enforcing_it() -> None:
    """HP-20: an on/off switch; off allows all."""
    tenant = a_tenant(ip_allowlist=("10.0.0.0/8",))
    assert tenant.enforced_allowlist == ()
    tenant = a_tenant(ip_allowlist=("10.0.0.0/8",), ip_allowlist_enabled=True)
    assert tenant.enforced_allowlist == ("10.0.0.0/8",)
