"""Alerts: what fires, who looks after it, what the rules are, and whether anybody would be told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.dashboard.stage import Stage, often, staged
from tests.dashboard.visit import Visit

pytestmark = pytest.mark.slow

CHANNELS = """
channels:
  log: {log: true}
  pager: {webhook: {url: "http://127.0.0.1:9/", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}
"""
"""Nothing listens on port 9."""

FIRES_WITHIN_MILLISECONDS = 30_000
"""A browser, a gateway and its rules share a machine that may be busy."""


@pytest.fixture(scope="module")
def stage(
    browser: Browser, demo_upstream: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("alerts")
    with staged(folder, demo_upstream, further=CHANNELS, **often("log, pager")) as stage:
        yield stage


@pytest.fixture(scope="module")
def leaked(stage: Stage) -> str:
    """Return the id of a key that was used after it was revoked, of which every channel is told."""
    key_id, secret = stage.key("Leaked")
    stage.api("POST", f"/keys/{key_id}:revoke", {"reason": "it was in a repository"})
    assert stage.use(secret) == 401
    return key_id


def test_jh_11_what_fires_is_looked_at_and_acknowledged(
    stage: Stage, leaked: str, visit: Visit
) -> None:
    page = visit.sign_in(stage.token(), "/alerts")
    row = page.get_by_role("table", name="Alerts").get_by_role("row")
    row = row.filter(has_text="RevokedApiKeyStillUsed")
    expect(row).to_contain_text("was used after it was revoked", timeout=FIRES_WITHIN_MILLISECONDS)
    row.get_by_role("button", name="Details of RevokedApiKeyStillUsed").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("127.0.0.0/24")
    expect(dialog).not_to_contain_text("[")
    link = dialog.get_by_role("link", name="What to do about it")
    runbook = "https://docs.example.com/RevokedApiKeyStillUsed.md"
    expect(link).to_have_attribute("href", runbook)
    page.keyboard.press("Escape")
    row.get_by_role("button", name="Acknowledge").click()
    dialog.get_by_label("Reason").fill("asked the owner")
    dialog.get_by_role("button", name="Acknowledge").click()
    expect(row).to_contain_text("seen by adm_")
    [alert] = stage.api("GET", "/alerts?state=acknowledged")["data"]
    assert (alert["key_id"], alert["acknowledged_reason"]) == (leaked, "asked the owner")


@pytest.mark.usefixtures("leaked")
def test_what_a_channel_did_not_take_is_tried_again(stage: Stage, visit: Visit) -> None:
    page = visit.sign_in(stage.token(), "/alerts?tab=deliveries")
    table = page.get_by_role("table", name="Notifications that were not delivered")
    row = table.get_by_role("row").filter(has_text="pager")
    expect(row).to_contain_text("cannot connect", timeout=FIRES_WITHIN_MILLISECONDS)
    row.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("It is tried again.")).to_be_visible()


def test_rules_show_their_thresholds_and_a_sample_says_who_took_it(
    stage: Stage, visit: Visit
) -> None:
    page = visit.sign_in(stage.token(), "/alerts?tab=rules")
    expect(page.get_by_role("tabpanel")).to_contain_text("told once for each of policies.reminders")
    row = page.get_by_role("table", name="Rules").get_by_role("row")
    volume = row.filter(has_text="ApiKeyUnusualVolume")
    expect(volume).to_contain_text("busiest hour")
    expect(volume).to_contain_text("History min: 1 d")
    row.filter(has_text="UpstreamDown").get_by_role("button", name="Send a sample").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The sample was not delivered everywhere")
    expect(dialog).to_contain_text("logdelivered")
