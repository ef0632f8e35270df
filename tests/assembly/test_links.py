"""One-time links have a listener of their own when they are given one."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from gateway.domain.admin_tokens import Role
from gateway.domain.blueprint import KeyWish
from gateway.domain.queries import AuditQuery
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
        link, warnings = gateway.operators.link(minted.delivery_token)
        assert link.startswith("https://keys.test/delivery/thd_")
        assert warnings == ()
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
        link, [warning] = gateway.operators.link("thd_a")
        assert link == "/delivery/thd_a"
        assert "listeners.delivery.bind" in warning
        answer = await ask(gateway.admin_address, "/delivery/thd_a")
        assert (answer.status, b"This link gives nothing" in answer.body) == (404, True)


async def test_whoever_takes_a_secret_is_found_behind_the_proxies_of_the_configuration(
    tmp_path: Path,
) -> None:
    """HT-3, D11; operators only where the configuration says so."""
    trusted = "client_address: {trusted_proxies: [127.0.0.0/8]}\n"
    edge = LINKED.replace("unix:run/admin.sock", "127.0.0.1:0")
    async with serving(tmp_path, ROUTES + trusted, edge) as gateway:
        await add_tenant(gateway)
        token = (await gateway.keyring.admin_tokens.create("x", Role.ADMIN, ORDER)).secret
        wish = KeyWish(tenant_id="ten_a", name="k", environment="live", scopes=())
        minted = await gateway.keyring.create_key(wish, ORDER, delivery_seconds=60)
        headers = {"X-Forwarded-For": "203.0.113.7", "Authorization": f"Bearer {token}"}

        async def post(address: str, path: str) -> None:
            async with (
                aiohttp.ClientSession(f"http://{address}") as session,
                session.post(path, headers=headers, json={"reason": "x"}) as response,
            ):
                assert response.status == 200

        async def addresses() -> list[str]:
            records = await gateway.audit.page(AuditQuery(type="key.*", is_newest_first=True))
            return [each.content()["actor"]["address"] for each in records]

        key = f"/admin/v1/keys/{minted.record.key_id}"
        await post(gateway.delivery_address, f"/delivery/{minted.delivery_token}")
        assert (await addresses())[0] == "203.0.113.7"
        await post(gateway.admin_address, f"{key}:suspend")
        assert (await addresses())[0] == "127.0.0.1"
        path = gateway.config_path
        path.write_text(path.read_text().replace("admin: {", "admin: {trusts_proxies: true, ", 1))
        await gateway.reloads.reload("test")
        await post(gateway.admin_address, f"{key}:resume")
        assert (await addresses())[0] == "203.0.113.7"
