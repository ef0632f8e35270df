"""Tenants, and the two pages under Settings."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.dashboard.stage import Stage
from tests.dashboard.visit import Visit

pytestmark = pytest.mark.slow


def test_a_tenant_is_made_changed_stopped_and_let_go_on(stage: Stage, visit: Visit) -> None:
    page = visit.sign_in(stage.token(), "/tenants")
    page.get_by_role("button", name="Create tenant").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Initech")
    dialog.get_by_label("Id", exact=True).fill("initech")
    dialog.get_by_label("Plan").select_option("free")
    dialog.get_by_role("button", name="Create tenant").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Initech")
    _, secret = stage.key("Of Initech", "initech")
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("dialog").get_by_label("Variable").fill("INITECH_KEY")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.locator(".facts")).to_contain_text("INITECH_KEY")
    for act, status in (("Suspend", 403), ("Resume", 200)):
        page.get_by_role("button", name=act).click()
        page.get_by_role("dialog").get_by_label("Reason").fill("unpaid")
        page.get_by_role("dialog").get_by_role("button", name=act).click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert stage.use(secret) == status


def test_a_tenant_is_deleted_with_its_key_after_its_id_was_typed(
    stage: Stage, visit: Visit
) -> None:
    stage.api("POST", "/tenants", {"tenant_id": "pied-piper", "name": "Pied Piper"})
    key_id, secret = stage.key("Of Pied Piper", "pied-piper")
    assert stage.use(secret) == 200
    page = visit.sign_in(stage.token(), "/tenants/pied-piper")
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    delete = dialog.get_by_role("button", name="Delete for ever")
    dialog.get_by_label("Reason").fill("the contract ended")
    expect(delete).to_have_attribute("aria-disabled", "true")
    dialog.get_by_label("Type pied-piper to confirm").fill("pied-piper")
    visit.expected |= {409}
    delete.click()
    expect(dialog).to_contain_text("1 key that has not ended")
    dialog.get_by_label("Revoke 1 key").check()
    delete.click()
    expect(page.get_by_text("Deleted. In force since")).to_be_visible()
    expect(page.locator("main")).to_contain_text("the contract ended")
    expect(page.get_by_role("button", name="Edit")).to_have_count(0)
    expect(page.get_by_role("table", name="Keys")).to_contain_text("revoked")
    assert stage.use(secret) == 401
    assert stage.api("GET", f"/keys/{key_id}")["state"] == "revoked"
    page.get_by_role("link", name="Tenants").first.click()
    table = page.get_by_role("table", name="Tenants")
    expect(table).not_to_contain_text("Pied Piper")
    page.get_by_label("State").select_option("deleted")
    expect(table).to_contain_text("Pied Piper")


def test_an_operator_deletes_no_tenant(stage: Stage, visit: Visit) -> None:
    page = visit.sign_in(stage.token("operator"), "/tenants/globex")
    expect(page.get_by_role("button", name="Suspend")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_have_attribute("aria-disabled", "true")


def test_alert_settings_are_kept_as_they_are_written(stage: Stage, visit: Visit) -> None:
    stage.api("POST", "/tenants", {"tenant_id": "hooli", "name": "Hooli"})
    page = visit.sign_in(stage.token(), "/tenants/hooli?tab=alerts")
    settings = page.get_by_label("Settings", exact=False).and_(page.get_by_role("textbox"))
    visit.expected |= {422}
    settings.fill("[1]")
    page.get_by_role("button", name="Save settings").click()
    expect(settings).to_have_attribute("aria-invalid", "true")
    settings.fill('{"rules": {"ApiKeyUnusualVolume": {"enabled": false}}}')
    page.get_by_role("button", name="Save settings").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert stage.api("GET", "/tenants/hooli")["alerts"] == {
        "rules": {"ApiKeyUnusualVolume": {"enabled": False}}
    }


def test_settings_lead_to_the_keys_of_a_tenant_and_a_new_one(stage: Stage, visit: Visit) -> None:
    """HP-2, JH-2, IV-9: Settings → API Keys."""
    stage.key("Listed in settings", "globex")
    page = visit.sign_in(stage.token(), "/overview")
    page.get_by_role("link", name="API Keys", exact=True).click()
    expect(page.get_by_role("navigation", name="Breadcrumb")).to_have_text("SettingsAPI Keys")
    page.get_by_label("Tenant", exact=True).select_option("globex")
    expect(page.get_by_role("table", name="Keys")).to_contain_text("Listed in settings")
    page.get_by_role("button", name="Generate New API Key").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Tenant", exact=True)).to_have_value("globex")
    dialog.get_by_label("Name").fill("Made in settings")
    dialog.get_by_role("button", name="Create key").click()
    page.get_by_role("button", name="I have stored it").click()
    expect(page.get_by_role("table", name="Keys")).to_contain_text("Made in settings")


def test_the_whitelist_is_switched_on_and_off_and_keeps_its_addresses(
    stage: Stage, visit: Visit
) -> None:
    """HP-20, HP-21, HP-22, HP-23: Settings → Security → IP Whitelist."""
    stage.api("POST", "/tenants", {"tenant_id": "umbra", "name": "Umbra"})
    _, secret = stage.key("Of Umbra", "umbra")
    assert stage.use(secret) == 200
    page = visit.sign_in(stage.token(), "/settings/security/ip-whitelist?tenant_id=umbra")
    expect(page.get_by_role("navigation", name="Breadcrumb")).to_have_text(
        "SettingsSecurityIP Whitelist"
    )
    switch = page.get_by_role("switch")
    expect(switch).not_to_be_checked()
    page.get_by_label("Addresses and networks").fill("203.0.113.7")
    expect(page.locator(".preview")).to_contain_text("1 address of 1 address")
    page.get_by_role("button", name="Save list").click()
    expect(page.get_by_text("Saved. In force since")).to_be_visible()
    assert stage.use(secret) == 200
    page.get_by_text("IP Whitelist for Umbra").click()
    page.get_by_role("dialog").get_by_role("button", name="Switch on").click()
    expect(switch).to_be_checked()
    expect(page.get_by_text("Switched on. In force since")).to_be_visible()
    assert stage.use(secret) == 403
    page.get_by_text("IP Whitelist for Umbra").click()
    expect(switch).not_to_be_checked()
    expect(page.get_by_text("Switched off. In force since")).to_be_visible()
    assert stage.use(secret) == 200
    assert stage.api("GET", "/tenants/umbra")["ip_allowlist"] == ["203.0.113.7"]
