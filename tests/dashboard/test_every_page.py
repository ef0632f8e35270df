"""Every page of the menu: no errors, no strangers, usable without a mouse, on a phone, by eye and by ear."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.dashboard.conftest import Visiting
from tests.dashboard.stage import Stage
from tests.dashboard.visit import Visit

pytestmark = pytest.mark.slow

PAGES = [
    "/overview",
    "/keys",
    "/tenants",
    "/tenants/acme",
    "/upstreams",
    "/limits",
    "/explain",
    "/alerts",
    "/audit",
    "/hygiene",
    "/settings/api-keys",
    "/settings/security/ip-whitelist",
]
WHITELIST = "security/ip-whitelist"
TABS = ["usage", "access", "rotation", "requests", "audit"]
PHONE = {"width": 390, "height": 844}
CUT_OFF = """() => [...document.querySelectorAll(".table-wrap")]
  .filter((each) => each.scrollWidth > each.clientWidth)
  .map((each) => `${each.ariaLabel}: ${each.scrollWidth} > ${each.clientWidth}`)"""
"""Tables of which a part is out of sight."""

OVERLAPPING = """() => {
  const all = [...document.querySelectorAll("dialog :is(input, select, textarea, button)")];
  const shown = all.map((each) => [each, each.getBoundingClientRect()]).filter(([, box]) => box.width > 1);
  const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  return shown.flatMap(([one, a], n) =>
    shown.slice(n + 1).filter(([, b]) => over(a, b)).map(([other]) => [one.outerHTML, other.outerHTML]));
}"""
"""What lies over each other of the controls of a dialog."""

_STANDARD = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def key_id(stage: Stage) -> str:
    found, secret = stage.key("Seen everywhere", tags=["nightly"])
    for _ in range(3):
        assert stage.use(secret) == 200
    return found


@pytest.fixture(scope="module")
def paths(key_id: str) -> list[str]:
    return [*PAGES, *(f"/keys/{key_id}?tab={tab}" for tab in TABS)]


@pytest.fixture(scope="module")
def token(stage: Stage) -> str:
    return stage.token()


def complaints(page: Page) -> list[str]:
    found: Any = Axe().run(page, options=_STANDARD).response
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:160]} {node['failureSummary'][:200]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_errors_or_barriers(
    stage: Stage, visiting: Visiting, paths: list[str], token: str, scheme: Any
) -> None:
    visit = visiting(color_scheme=scheme, reduced_motion="reduce")
    page = visit.open("/keys")
    page.get_by_label("Admin token").wait_for()
    assert complaints(page) == []
    visit.sign_in(token)
    for path in paths:
        visit.open(path)
        visit.settle()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.locator("main h1").count() == 1, path
        assert complaints(page) == [], path
        assert visit.errors == [], path
        assert "[object" not in page.locator("main").inner_text(), path


def test_dialogs_have_no_barriers(stage: Stage, visit: Visit, key_id: str, token: str) -> None:
    page = visit.sign_in(token, f"/keys/{key_id}")
    for name in ("Rotate", "Suspend", "Revoke", "Compromised", "Edit"):
        page.locator(".page-head").get_by_role("button", name=name, exact=True).click()
        assert complaints(page) == [], name
        assert page.evaluate(OVERLAPPING) == [], name
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    visit.open("/keys")
    page.get_by_role("button", name="Create key").click()
    page.get_by_role("radio", name="Custom permissions").check()
    assert complaints(page) == []


def test_no_page_is_wider_than_a_phone(
    stage: Stage, visiting: Visiting, paths: list[str], token: str
) -> None:
    visit = visiting(viewport=PHONE, is_mobile=True, has_touch=True)
    page = visit.sign_in(token)
    for path in paths:
        visit.open(path)
        visit.settle()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], path
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Tenants").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tenants")
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    visit.open("/keys")
    page.get_by_role("button", name="Create key").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    box = page.get_by_role("dialog").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]


def test_names_of_any_length_fit_on_the_smallest_phone(
    stage: Stage, visiting: Visiting, token: str
) -> None:
    """Names are up to 100 characters, ids of tenants up to 64, and nothing in them need be a place to break."""
    tenant, name = "t" * 64, "W" * 100
    stage.api("POST", "/tenants", {"tenant_id": tenant, "name": name})
    key_id, secret = stage.key(name, tenant_id=tenant, tags=["g" * 50])
    assert stage.use(secret, headers={"User-Agent": "a" * 200}) == 200
    visit = visiting(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    page = visit.sign_in(token)
    settings = [f"/settings/{each}?tenant_id={tenant}" for each in ("api-keys", WHITELIST)]
    tabs = [f"/keys/{key_id}?tab={tab}" for tab in TABS]
    for path in ("/overview", "/keys", "/tenants", f"/tenants/{tenant}", *settings, *tabs):
        visit.open(path)
        visit.settle()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_a_long_name_leaves_the_other_columns_in_sight(
    stage: Stage, visiting: Visiting, token: str
) -> None:
    tenant, name = "u" * 64, "M" * 60
    stage.api("POST", "/tenants", {"tenant_id": tenant, "name": name})
    key_id, secret = stage.key(name, tenant_id=tenant, tags=["h" * 50])
    assert stage.use(secret) == 200
    assert stage.api("POST", f"/keys/{key_id}:rotate", {"grace": "1d", "reason": "r"})["new_key"]
    visit = visiting(viewport={"width": 1440, "height": 900})
    page = visit.sign_in(token)
    settings = f"/settings/api-keys?tenant_id={tenant}"
    tabs = [f"/keys/{key_id}?tab={tab}" for tab in TABS]
    for path in (*PAGES, f"/tenants/{tenant}", settings, *tabs):
        visit.open(path)
        visit.settle()
        assert page.evaluate(CUT_OFF) == [], path


def test_a_key_is_made_with_the_keyboard_alone(stage: Stage, visit: Visit) -> None:
    page = visit.open("/keys")
    page.get_by_label("Admin token").wait_for()
    expect(page.get_by_label("Admin token")).to_be_focused()
    page.keyboard.insert_text(stage.token("operator"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    visit.open("/keys")
    visit.settle()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    opener = page.get_by_role("button", name="Create key")
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name")).to_be_focused()
    page.keyboard.type("By hand")
    page.keyboard.press("Tab")
    page.keyboard.type("Acme")
    page.keyboard.press("Tab")
    for _ in range(60):
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("By hand")
    page.keyboard.press("Tab")
    page.keyboard.type("Acme")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    shown = page.get_by_role("dialog", name="Key “By hand”")
    expect(shown.get_by_role("button", name="Copy key")).to_be_focused()


def test_the_theme_is_chosen_and_stays(stage: Stage, visiting: Visiting, token: str) -> None:
    visit = visiting(color_scheme="light")
    page = visit.sign_in(token)
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Theme: as the system").click()
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Theme: light").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    visit.settle()
    assert page.evaluate(ground) == dark


def test_a_refresh_takes_neither_the_focus_nor_what_is_being_written(
    stage: Stage, visit: Visit, key_id: str, token: str
) -> None:
    page = visit.sign_in(token, f"/keys/{key_id}?tab=access")
    field = page.get_by_label("Addresses and networks")
    field.fill("203.0.113.1")
    with page.expect_response(lambda response: response.url.endswith(key_id)):
        pass
    with page.expect_response(lambda response: response.url.endswith(key_id)):
        pass
    expect(field).to_be_focused()
    expect(field).to_have_value("203.0.113.1")


def test_what_fails_is_told_with_its_request_id(stage: Stage, visit: Visit, token: str) -> None:
    page = visit.sign_in(token)
    visit.expected |= {404}
    visit.open("/keys/key_that_is_not_there")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Not found")
    expect(alert).to_contain_text("req_")


def test_a_page_that_comes_late_takes_the_focus_from_nobody(
    stage: Stage, visit: Visit, token: str
) -> None:
    page = visit.sign_in(token)

    def late(route: Route) -> None:
        page.wait_for_timeout(500)
        route.continue_()

    page.route("**/admin/v1/tenants?*", late)
    page.get_by_role("link", name="Tenants").click()
    page.get_by_label("Signed in as").click()
    expect(page.get_by_role("table", name="Tenants")).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
