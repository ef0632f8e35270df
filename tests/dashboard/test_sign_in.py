"""Who gets in, how they are put out, and what they find there by their role."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from gateway.domain.admin_tokens import minted
from tests.dashboard.conftest import Visiting
from tests.dashboard.stage import Stage
from tests.dashboard.visit import Visit

pytestmark = pytest.mark.slow

WRONG = minted("0" * 43)


def test_a_token_leads_to_the_page_that_was_asked_for(stage: Stage, visit: Visit) -> None:
    page = visit.sign_in(stage.token(), "/tenants")
    expect(page.get_by_role("heading", level=1)).to_have_text("Tenants")
    cookies = visit.context.cookies()
    assert [(each["name"], each["httpOnly"], each["sameSite"]) for each in cookies] == [
        ("tollhouse_session", True, "Strict")
    ]
    assert page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])") == "[{},{}]"
    assert page.evaluate("document.cookie") == ""


def test_a_wrong_token_is_told_and_an_address_that_keeps_failing_waits(
    stage: Stage, visiting: Visiting
) -> None:
    visit = visiting(extra_http_headers={"X-Test": "throttle"})
    visit.expected |= {401, 429}
    page = visit.open("/keys")
    alert = page.get_by_role("alert")
    for _ in range(11):
        page.get_by_label("Admin token").fill(WRONG)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        expect(alert).to_contain_text("")
        if "Try again in" in alert.inner_text():
            break
        expect(alert).to_contain_text("opens nothing")
    expect(alert).to_contain_text("Try again in")
    expect(page.get_by_role("button", name="Sign in")).to_be_disabled()
    expect(page.get_by_role("button", name="Sign in")).to_be_enabled()
    page.get_by_label("Admin token").fill(stage.token())
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")


def test_whoever_loses_their_token_is_put_out(stage: Stage, visit: Visit) -> None:
    page = visit.sign_in(token := stage.token())
    mine = [
        each
        for each in stage.api("GET", "/admin-tokens?limit=1000")["data"]
        if each["display"].endswith(token[-4:])
    ]
    stage.api("POST", f"/admin-tokens/{mine[0]['token_id']}:revoke", {"reason": "left"})
    visit.expected |= {401}
    # The page refreshes itself, and is told so.
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    expect(page.get_by_role("alert")).to_contain_text("Your session has ended")


def test_signing_out_ends_it(stage: Stage, visit: Visit) -> None:
    page = visit.sign_in(stage.token())
    page.get_by_label("Signed in as").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    visit.open("/keys")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert visit.context.cookies() == []


def test_a_viewer_is_shown_what_they_may_not_do_and_why(stage: Stage, visit: Visit) -> None:
    key_id, _ = stage.key("Looked at")
    page = visit.sign_in(stage.token("viewer"), f"/keys/{key_id}")
    revoke = page.get_by_role("button", name="Revoke")
    expect(revoke).to_have_attribute("aria-disabled", "true")
    expect(revoke).to_contain_text("This needs the role operator or admin; yours is viewer.")
    revoke.click(force=True)
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("tab", name="Audit").click()
    expect(page.get_by_role("tabpanel")).to_contain_text("auditor, operator or admin")
    visit.open("/audit")
    expect(page.locator("#main")).to_contain_text("This needs the role")


def test_an_operator_makes_keys_but_no_tenants(stage: Stage, visit: Visit) -> None:
    page = visit.sign_in(stage.token("operator"), "/keys")
    expect(page.get_by_role("button", name="Create key")).not_to_have_attribute(
        "aria-disabled", "true"
    )
    page.get_by_role("link", name="Tenants").click()
    create = page.get_by_role("button", name="Create tenant")
    expect(create).to_have_attribute("aria-disabled", "true")


def test_a_token_of_one_tenant_finds_nothing_of_others(stage: Stage, visit: Visit) -> None:
    stage.key("Of Acme")
    stage.key("Of Globex", "globex")
    page = visit.sign_in(stage.token("operator", tenant_id="globex"), "/keys")
    expect(page.get_by_role("table", name="Keys")).to_contain_text("Of Globex")
    expect(page.get_by_role("table", name="Keys")).not_to_contain_text("Of Acme")
    page.get_by_role("link", name="IP Whitelist").click()
    expect(page.get_by_role("switch")).to_be_visible()
    expect(page.locator("#main")).to_contain_text("Globex Energy")


def test_a_token_of_one_tenant_is_not_offered_what_it_may_not_see(
    stage: Stage, visit: Visit
) -> None:
    """HT-9. Nothing is asked for in vain either: any refusal would be an error on the console."""
    key_id, secret = stage.key("Of a partner", "globex")
    assert stage.use(secret) == 200
    page = visit.sign_in(stage.token("admin", tenant_id="globex"), "/overview")
    expect(page.locator(".stat").first).to_be_visible()
    paths = ["overview", "upstreams", "limits", "alerts", "audit", "hygiene", "tenants/globex"]
    paths += [f"keys/{key_id}?tab={tab}" for tab in ("usage", "rotation", "requests", "audit")]
    for path in paths:
        visit.open(f"/{path}")
        visit.settle()
        expect(page.locator("#main")).not_to_contain_text("This is not for")
    visit.open("/upstreams")
    expect(page.get_by_role("table", name="Routes")).to_contain_text("jobs.list")
    visit.open("/alerts")
    expect(page.get_by_role("tab", name="Rules")).to_be_visible()
    expect(page.get_by_role("tab", name="Not delivered")).to_have_count(0)
    visit.open("/audit")
    for name in ("Verify", "Export"):
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-disabled", "true")
