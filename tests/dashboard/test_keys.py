"""The whole way of a key in the dashboard: made, copied, used, revoked."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Visiting
from tests.dashboard.stage import Stage
from tests.dashboard.visit import Visit

pytestmark = pytest.mark.slow


def create(page: Page, name: str, *, template: str = "Custom permissions") -> None:
    page.get_by_role("button", name="Create key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("Tenant", exact=True).select_option("acme")
    dialog.get_by_role("radio", name=template).check()


def test_a_key_is_made_copied_used_and_revoked(stage: Stage, visiting: Visiting) -> None:
    """HP-2, HP-3, HP-4, HP-14, HP-18, JH-18, IV-9, IV-22."""
    visit = visiting(permissions=["clipboard-read", "clipboard-write"])
    page = visit.sign_in(stage.token(), "/keys")
    create(page, "Nightly export")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("checkbox", name="jobs:read", exact=True).check()
    dialog.get_by_label("Environment").select_option("live")
    dialog.get_by_role("button", name="Create key").click()

    shown = page.get_by_role("dialog", name="Key “Nightly export”")
    expect(shown).to_contain_text("shown once")
    secret = shown.get_by_label("Key", exact=True).input_value()
    assert re.fullmatch(r"sk_live_[0-9A-Za-z]{49}", secret)
    shown.get_by_role("button", name="Copy line").click()
    assert page.evaluate("navigator.clipboard.readText()") == f"export TOLLHOUSE_API_KEY={secret}"
    shown.get_by_role("button", name="Copy key").click()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.keyboard.press("Escape")
    expect(shown).to_be_visible()
    shown.get_by_role("button", name="I have stored it").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Nightly export")
    assert secret not in page.content()
    assert secret not in page.url
    assert stage.use(secret) == 200
    assert stage.use(secret, "/v1/interviews") == 403
    page.reload()
    visit.settle()
    assert secret not in page.content()

    page.get_by_role("button", name="Revoke").click()
    dialog = page.get_by_role("dialog")
    confirm = dialog.get_by_role("button", name="Revoke for ever")
    expect(confirm).to_have_attribute("aria-disabled", "true")
    dialog.get_by_label("Reason").fill("no longer needed")
    dialog.get_by_label("Type revoke to confirm").fill("revoke")
    confirm.click()
    expect(page.get_by_text("Revoked. In force since")).to_be_visible()
    assert stage.use(secret) == 401
    expect(page.locator(".page-head")).to_contain_text("revoked")
    page.get_by_role("tab", name="Audit").click()
    expect(page.get_by_role("tabpanel")).to_contain_text("Key revoked")
    expect(page.get_by_role("tabpanel")).to_contain_text("no longer needed")


def test_what_is_wrong_with_a_key_is_said_at_its_field(stage: Stage, visit: Visit) -> None:
    page = visit.sign_in(stage.token(), "/keys")
    create(page, "")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Addresses that may use it").fill("not an address")
    visit.expected |= {422}
    dialog.get_by_role("button", name="Create key").click()
    expect(dialog.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    expect(dialog.get_by_label("Addresses that may use it")).to_have_attribute(
        "aria-invalid", "true"
    )
    assert dialog.get_by_label("Tenant", exact=True).get_attribute("aria-invalid") is None


def test_a_template_makes_a_key_without_further_questions(stage: Stage, visit: Visit) -> None:
    """HP-16, IV-12."""
    page = visit.sign_in(stage.token("operator"), "/keys?tenant_id=acme")
    create(page, "Build pipeline", template="ci")
    page.get_by_role("dialog").get_by_role("button", name="Create key").click()
    shown = page.get_by_role("dialog", name="Key “Build pipeline”")
    assert shown.get_by_label("Key", exact=True).input_value().startswith("sk_test_")
    shown.get_by_role("button", name="I have stored it").click()
    expect(page.locator(".facts")).to_contain_text("ci")


def test_a_link_that_leads_to_the_admin_listener_says_so(stage: Stage, visit: Visit) -> None:
    page = visit.sign_in(stage.token(), "/keys?tenant_id=acme")
    create(page, "Sent on", template="ci")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("More", exact=True).click()
    dialog.get_by_label("Hand over by link").select_option(index=1)
    dialog.get_by_role("button", name="Create key").click()
    shown = page.get_by_role("dialog", name="Key “Sent on”")
    assert shown.get_by_label("Link").input_value().startswith(f"{stage.admin}/delivery/thd_")
    expect(shown).to_contain_text("the link leads to the admin listener")
    shown.get_by_role("button", name="Done").click()


def test_a_key_is_suspended_resumed_and_extended_with_reasons(stage: Stage, visit: Visit) -> None:
    """IV-21, IV-28."""
    key_id, secret = stage.key("Halted", expires_in="1d")
    page = visit.sign_in(stage.token(), f"/keys/{key_id}")
    for act, status in (("Suspend", 401), ("Resume", 200)):
        page.get_by_role("button", name=act).click()
        page.get_by_role("dialog").get_by_label("Reason").fill(f"{act} it")
        page.get_by_role("dialog").get_by_role("button", name=act).click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert stage.use(secret) == status
    until = stage.api("GET", f"/keys/{key_id}")["expires_at"]
    page.get_by_role("button", name="Extend").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("contract")
    page.get_by_role("dialog").get_by_role("button", name="Extend").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert stage.api("GET", f"/keys/{key_id}")["expires_at"] > until


def test_a_rotation_shows_who_has_not_moved_until_it_is_completed(
    stage: Stage, visit: Visit
) -> None:
    """HP-11, HP-15, JH-11, IV-17."""
    key_id, old = stage.key("Rotated")
    page = visit.sign_in(stage.token(), f"/keys/{key_id}")
    page.get_by_role("button", name="Rotate", exact=True).click()
    page.get_by_role("dialog").get_by_label("Reason").fill("quarterly")
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    shown = page.get_by_role("dialog", name="New key for “Rotated”")
    new = shown.get_by_label("Key", exact=True).input_value()
    shown.get_by_role("button", name="I have stored it").click()
    panel = page.get_by_role("tabpanel")
    expect(panel).to_contain_text("Rotation under way")
    agent = {"User-Agent": "batch/1"}
    assert stage.use(old, headers=agent) == 200
    expect(panel).to_contain_text("1 client has not moved to the new key")
    expect(panel).to_contain_text("batch/1")
    assert stage.use(new, headers=agent) == 200
    expect(panel).to_contain_text(
        "Everybody who used the old key, since a day before the rotation began, uses the new one"
    )
    panel.get_by_role("button", name="Complete").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("all moved")
    page.get_by_role("dialog").get_by_role("button", name="Stop the old key").click()
    expect(panel).to_contain_text("No rotation under way")
    assert (stage.use(old), stage.use(new)) == (401, 200)


def test_a_list_of_addresses_says_whom_it_would_refuse_before_it_is_saved(
    stage: Stage, visit: Visit
) -> None:
    """HP-21, HP-22, HP-23, IV-15, IV-29."""
    key_id, secret = stage.key("From somewhere")
    assert stage.use(secret) == 200
    page = visit.sign_in(stage.token(), f"/keys/{key_id}?tab=access")
    panel = page.get_by_role("tabpanel")
    expect(panel).to_contain_text("An empty list allows every address.")
    visit.expected |= {422}
    panel.get_by_label("Addresses and networks").fill("203.0.113.0/24 # office")
    expect(panel).to_contain_text("1 address of 1 address from 1 network")
    assert stage.use(secret) == 200
    panel.get_by_role("button", name="Save list").click()
    expect(page.get_by_text("Saved. In force since")).to_be_visible()
    assert stage.use(secret) == 403
    panel.get_by_label("Address", exact=True).fill("203.0.113.9")
    panel.get_by_role("button", name="Test access").click()
    expect(panel.get_by_role("status")).to_contain_text("Allowed")


def test_a_pasted_key_leads_to_its_page_and_into_no_address(stage: Stage, visit: Visit) -> None:
    key_id, secret = stage.key("Pasted")
    page = visit.sign_in(stage.token("viewer"), "/tenants")
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox").first).to_be_focused()
    page.keyboard.insert_text(secret)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Pasted")
    assert key_id in page.url
    assert not any(secret in each for each in [*addresses, page.url])
    assert secret not in page.content()


def test_keys_are_found_by_what_they_are(stage: Stage, visit: Visit) -> None:
    """HP-17."""
    stage.key("Blue whale", tags=["sea"], scopes=["read"], environment="test")
    stage.key("Red kite", tags=["air"])
    page = visit.sign_in(stage.token("viewer"), "/keys")
    table = page.get_by_role("table", name="Keys")
    page.get_by_label("Name, id or display text").fill("whale")
    expect(table.get_by_role("row")).to_have_count(2)
    expect(table).to_contain_text("Blue whale")
    page.get_by_label("Name, id or display text").fill("")
    page.get_by_label("Tag", exact=True).fill("air")
    expect(table).to_contain_text("Red kite")
    expect(table).not_to_contain_text("Blue whale")
    assert "tag=air" in page.url
    page.get_by_label("Environment").select_option("test")
    expect(page.get_by_text("No key is like that")).to_be_visible()
    page.get_by_role("button", name="Remove all filters").click()
    expect(table).to_contain_text("Blue whale")


def test_a_key_that_others_may_know_is_replaced_at_once(stage: Stage, visit: Visit) -> None:
    """HP-12."""
    key_id, old = stage.key("Leaked")
    page = visit.sign_in(stage.token(), f"/keys/{key_id}")
    page.get_by_role("button", name="Compromised").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("was in a public repository")
    dialog.get_by_label("Type compromised to confirm").fill("compromised")
    dialog.get_by_role("button", name="Revoke and open an incident").click()
    shown = page.get_by_role("dialog", name="Replacement for “Leaked”")
    new = shown.get_by_label("Key", exact=True).input_value()
    shown.get_by_role("button", name="I have stored it").click()
    assert (stage.use(old), stage.use(new)) == (401, 200)
    assert stage.api("GET", f"/incidents?key_id={key_id}")["data"][0]["key_id"] == key_id


def test_what_others_change_shows_without_loading_the_page_again(
    stage: Stage, visit: Visit
) -> None:
    page = visit.sign_in(stage.token("viewer"), "/keys?q=Came")
    expect(page.get_by_text("No key is like that")).to_be_visible()
    key_id, _ = stage.key("Came later")
    row = page.get_by_role("row", name="Came later")
    expect(row).to_be_visible()
    stage.api("POST", f"/keys/{key_id}:suspend", {"reason": "x"})
    expect(row).to_contain_text("suspended")


def test_usage_is_drawn_and_told_in_a_table(stage: Stage, visit: Visit) -> None:
    """IV-20, HP-27."""
    key_id, secret = stage.key("Counted")
    for _ in range(4):
        stage.use(secret, headers={"User-Agent": "nightly/2"})
    page = visit.sign_in(stage.token("viewer"), f"/keys/{key_id}?range=1h")
    panel = page.get_by_role("tabpanel")
    expect(panel.locator(".stat").first).to_contain_text("4")
    expect(panel.get_by_role("img", name="Requests by outcome")).to_be_visible()
    expect(panel.get_by_role("list", name="Requests by route")).to_contain_text("jobs.list")
    for kind, value in (("network", "127.0.0.0/24"), ("user agent", "nightly/2")):
        who = panel.get_by_role("list", name=f"Requests by {kind}")
        expect(who).to_contain_text(value)
        expect(who).to_contain_text("last")
        expect(who).not_to_contain_text("[object")
    panel.get_by_text("Show as a table").first.click()
    table = panel.get_by_role("table", name="Requests by outcome")
    expect(table.get_by_role("row")).to_have_count(61)


def test_keys_are_sorted_by_their_columns(stage: Stage, visit: Visit) -> None:
    stage.key("Sorted a", "globex", tags=["sorted"])
    stage.key("Sorted b", "globex", tags=["sorted"])
    page = visit.sign_in(stage.token("viewer"), "/keys?tag=sorted")
    names = page.get_by_role("rowheader")
    heading = page.get_by_role("columnheader", name="Name")
    for order, first in (("ascending", "Sorted a"), ("descending", "Sorted b")):
        heading.get_by_role("button").click()
        expect(heading).to_have_attribute("aria-sort", order)
        expect(names.first).to_contain_text(first)
    assert "sort=-name" in page.url


def test_a_key_that_nobody_used_is_not_called_tight(stage: Stage, visit: Visit) -> None:
    """D13: granted against used."""
    stage.api("POST", "/tenants", {"tenant_id": "idle", "name": "Idle"})
    stage.key("Never used", "idle")
    page = visit.sign_in(stage.token(tenant_id="idle"), "/hygiene")
    page.get_by_role("tab", name="Granted against used").click()
    panel = page.get_by_role("tabpanel")
    expect(panel).to_contain_text("not used")
    expect(panel).not_to_contain_text("as tight as it can be")
