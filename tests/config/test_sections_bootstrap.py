"""Declared tenants and keys: times and metadata."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.config.sections.bootstrap import METADATA_BYTES_MAX, BootstrapTenant, read_instant


def test_time_with_offset_is_read_as_epoch_seconds() -> None:
    assert read_instant("1970-01-02T00:00:00Z") == 86400
    assert read_instant("1970-01-02T01:00:00+01:00") == 86400
    assert read_instant(86400) == 86400
    assert read_instant(None) is None


@pytest.mark.parametrize("text", ["1970-01-02", "1970-01-02T00:00:00", "tomorrow", True])
def test_time_without_offset_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="2027-01-31T00:00:00Z"):
        read_instant(text)


def test_metadata_is_small_and_fits_into_json() -> None:
    assert BootstrapTenant(id="a", name="A", metadata={"n": [1, {"x": None}]}).metadata["n"]
    with pytest.raises(ValidationError, match="larger than 4096 bytes"):
        BootstrapTenant(id="a", name="A", metadata={"n": "x" * METADATA_BYTES_MAX})
    with pytest.raises(ValidationError, match="JSON cannot carry"):
        BootstrapTenant(id="a", name="A", metadata={"n": 2**80})


def test_tenant_allowlist_may_be_a_bare_list() -> None:
    tenant = BootstrapTenant.model_validate({"id": "a", "name": "A", "ip_allowlist": ["192.0.2.1"]})
    assert tenant.ip_allowlist.allow == ("192.0.2.1",)
    assert tenant.ip_allowlist.enabled
