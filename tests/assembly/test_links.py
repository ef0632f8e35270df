"""One-time links have a listener of their own when they are given one."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from gateway.domain.blueprint import KeyWish
from tests.assembly.serving import EDGE, ROUTES, add_tenant, ask, serving
from tests.key_samples import ORDER

LINKED = EDGE.replace(
    "store:", "  delivery: {bind: '127.0.0.1:0', base_url: 'https://keys.test/'}\nstore:", 1
)


async def test_a_link_is_redeemed_where_nothing_else_is_served(tmp_path: Path) -> None:
    async with serving(tmp_path, ROUTES, LINKED) as gateway:
        await add_tenant(gateway)
        wish = KeyWish(tenant_id="ten_a", name="k", environment="live", scopes=())
        minted = await gateway.keyring.create_key(wish, ORDER, delivery_seconds=60)
        link = gateway.link(minted.delivery_token)
        assert link.startswith("https://keys.test/delivery/thd_")
        path = link.removeprefix("https://keys.test")
        assert (await ask(gateway.delivery_address, path)).status == 200
        assert (await ask(gateway.delivery_address, "/admin/v1/keys")).status == 404
        assert (await ask(gateway.public_address, path)).status == 404
        base = f"http://{gateway.delivery_address}"
        async with (
            aiohttp.ClientSession(base) as session,
            session.post(path, headers={"Accept": "application/json"}) as response,
        ):
            secret = (await response.json())["secret"]
        assert (await ask(gateway.public_address, "/me", secret)).status == 200


async def test_without_one_the_admin_listener_serves_links(tmp_path: Path) -> None:
    async with serving(tmp_path) as gateway:
        assert gateway.delivery_address == ""
        assert gateway.link("thd_a") == "/delivery/thd_a"
        assert (await ask(gateway.admin_address, "/delivery/thd_a")).status == 200
