"""`make screenshots`: takes a picture of every page, in light, in dark and as on a phone, for the documentation."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from playwright.sync_api import Page

from gateway.demo.upstream import create_demo_app
from tests.dashboard.scene import set_scene
from tests.dashboard.stage import LOG, TOKEN, Stage, often, staged
from tests.dashboard.visit import Visit, chromium

FOLDER: Final = Path(__file__).parents[2] / "docs" / "dashboard"
DESK: Final = {"width": 1280, "height": 860}
PHONE: Final = {"width": 390, "height": 844}
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "is_mobile": True, "has_touch": True},
}
FONTS: Final = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<alias binding="strong"><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
<alias binding="strong"><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
</fontconfig>"""
"""What the system's font is in a picture: Inter where it is installed, because every system has another."""

NAMES: Final = {"light": "Payroll import", "dark": "Shift planner", "phone": "Partner portal"}
"""The key that each look makes: a second one of a name would be warned of."""

Act = Callable[[Page, str], None]


def pictures(key_id: str) -> Iterator[tuple[str, str, Act | None]]:
    """Yield the name of each picture, the page, and what is done there first."""
    yield "overview", "/overview", None
    yield "keys", "/keys", None
    yield "create-key", "/keys", _fill_in
    yield "secret", "/keys", _make
    for tab in ("usage", "access", "rotation", "requests", "audit"):
        yield f"key-{tab}", f"/keys/{key_id}?tab={tab}", None
    yield "tenants", "/tenants", None
    yield "tenant", "/tenants/acme", None
    yield "settings-api-keys", "/settings/api-keys?tenant_id=acme", None
    asked = f"/explain?method=POST&url=/v1/candidates&key_id={key_id}"
    yield "explain", asked, _explain
    whitelist = "/settings/security/ip-whitelist?tenant_id=northwind"
    yield "settings-ip-whitelist", whitelist, None
    for name in ("upstreams", "limits", "alerts", "audit", "hygiene"):
        yield name, f"/{name}", None


def _fill_in(page: Page, look: str) -> None:
    page.get_by_role("button", name="Create key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(NAMES[look])
    dialog.get_by_label("Tenant", exact=True).select_option("acme")
    dialog.get_by_role("radio", name="Custom permissions").check()
    dialog.get_by_role("checkbox", name="candidates:read", exact=True).check()
    dialog.get_by_role("checkbox", name="jobs:read", exact=True).check()
    dialog.locator(".dialog-body").evaluate("body => body.scrollTo(0, 0)")


def _make(page: Page, look: str) -> None:
    _fill_in(page, look)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Environment").select_option("live")
    dialog.get_by_role("button", name="Create key").click()
    shown = page.get_by_role("dialog", name=f"Key “{NAMES[look]}”")
    shown.wait_for()


def _explain(page: Page, _look: str) -> None:
    page.get_by_role("button", name="Explain").click()
    page.wait_for_load_state("networkidle")
    page.locator("#main h1").focus()


def take(visit: Visit, key_id: str, look: str, wanted: set[str]) -> None:
    """Take the pictures of one look."""
    page = visit.open("/keys")
    page.get_by_label("Admin token").wait_for()
    if not wanted or "sign-in" in wanted:
        _save(page, f"sign-in-{look}")
    visit.sign_in(TOKEN)
    for name, path, act in pictures(key_id):
        if wanted and name not in wanted:
            continue
        visit.open(path)
        visit.settle()
        page.wait_for_load_state("networkidle")
        if act is not None:
            act(page, look)
        _save(page, f"{name}-{look}")


def _save(page: Page, name: str) -> None:
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path, animations="disabled")
    if quantize := shutil.which("pngquant"):
        subprocess.run([quantize, "--force", "--strip", "--output", path, "96", path], check=True)


@contextmanager
def demo() -> Iterator[str]:
    """Run the demo backend in a thread; yield its URL."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(create_demo_app(), access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.run_until_complete(runner.cleanup())
    loop.close()


@contextmanager
def scene() -> Iterator[tuple[Stage, str]]:
    """Set the stage and the scene; yield it with the id of the key that is looked at closely."""
    with (
        tempfile.TemporaryDirectory() as folder,
        demo() as upstream,
        staged(Path(folder), upstream, further=LOG, **often("log")) as stage,
    ):
        yield stage, set_scene(stage)


def main(arguments: list[str]) -> int:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(prog="screenshots", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="pictures, such as keys; all without any")
    parser.add_argument("--look", choices=[*LOOKS], action="append", help="all without any")
    asked = parser.parse_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as fonts:
        fonts.write(FONTS)
        fonts.flush()
        os.environ["FONTCONFIG_FILE"] = fonts.name
        _take_all(asked.look or [*LOOKS], set(asked.names))
    return 0


def _take_all(looks: list[str], names: set[str]) -> None:
    with scene() as (stage, key_id), chromium() as browser:
        for look in looks:
            visit = Visit(browser.new_context(**LOOKS[look]), stage.admin)
            take(visit, key_id, look, names)
            visit.context.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
