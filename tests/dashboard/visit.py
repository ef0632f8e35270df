"""A browser that looks at the dashboard, and remembers everything that it should not have met."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MILLISECONDS = 30_000
_STATUS = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")


def chromium_path() -> str | None:
    """Return where Chromium is installed, None where it is not."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium with a profile that nobody used before; without one, skip and say so."""
    path = chromium_path()
    if path is None:
        pytest.skip(
            "THE DASHBOARD WAS NOT TESTED: there is no chromium here (apt-get install chromium)"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS])
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One visit: a page, what went wrong on it, and whom it asked for anything."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.context = context
        self.base = base
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.expected: set[int] = set()
        context.set_default_timeout(WAIT_MILLISECONDS)
        context.on("request", self._asked)
        self.page: Page = context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob"):
            self.hosts.add(f"{parts.scheme}://{parts.netloc}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        status = _STATUS.search(message.text)
        if status is None or int(status[1]) not in self.expected:
            self.errors.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def open(self, path: str) -> Page:
        """Go to a page of the dashboard as somebody who types its address."""
        self.page.goto(f"{self.base}/dashboard{path}")
        return self.page

    def sign_in(self, token: str, path: str = "/keys") -> Page:
        """Sign in on the way to a page."""
        page = self.open(path)
        page.get_by_label("Admin token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        self.settle()
        return page

    def settle(self) -> None:
        """Wait until a page is shown, and loaded: before there is one, nothing on it can be missing."""
        self.page.locator("#page").wait_for()
        expect(self.page.locator("#page .skeleton")).to_have_count(0, timeout=WAIT_MILLISECONDS)

    def require_clean(self) -> None:
        """Fail unless nothing went wrong, and nobody else was asked for anything."""
        assert self.errors == []
        assert self.hosts <= {self.base}
