"""Browsers find the dashboard on a port of its own, beside the unix socket of the command line."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from gateway.domain.admin_tokens import Role
from tests.assembly.serving import EDGE, ROUTES, ask, serving
from tests.key_samples import ORDER

BESIDE = EDGE + "dashboard: {bind: '127.0.0.1:0'}\n"


async def test_a_browser_finds_it_beside_the_socket_of_the_command_line(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, BESIDE) as gateway, aiohttp.ClientSession() as browser:
        assert gateway.admin_address.startswith("unix:")
        async with browser.get(f"http://{gateway.dashboard_address}/") as page:
            assert (page.status, page.url.path) == (200, "/dashboard/")
            assert "<!doctype html>" in await page.text()
        assert (await ask(gateway.admin_address, "/admin/v1/keys")).status == 200


async def test_whoever_comes_there_needs_a_token_and_signs_in_with_it(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, BESIDE) as gateway:
        address = gateway.dashboard_address
        assert (await ask(address, "/admin/v1/keys")).status == 401
        token = (await gateway.keyring.admin_tokens.create("me", Role.ADMIN, ORDER)).secret
        assert (await ask(address, "/admin/v1/keys", token)).status == 200


async def test_without_an_address_of_its_own_no_port_is_opened(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        assert gateway.dashboard_address == ""
