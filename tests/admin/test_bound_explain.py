"""What a token that is bound to a tenant is told of requests and addresses: what concerns its tenants, HT-9."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.assembly.gateway import Gateway
from gateway.domain.admin_tokens import Role
from gateway.domain.client_address import ClientAddress, ClientAddressResolver
from gateway.domain.keys import KeyKind
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.pipeline.explain import Asked, Explanation
from tests.admin.bound import OWN, PARENTS, As
from tests.admin.caller import serving as serving_api
from tests.admin.request_log import FakeRequestLog, a_row
from tests.assembly.serving import EDGE, serving
from tests.key_samples import a_key, a_tenant
from tests.keyring.house import House

TEXT = """
upstreams: {secret-upstream: {targets: ['http://127.0.0.1:9/secret-base']}}
tenancy: {selector: {query: for}}
routes:
  - {name: jobs, match: {path: /jobs}, upstream: secret-upstream}
"""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving(tmp_path, TEXT, EDGE) as gateway:
        for tenant_id, parent_id in PARENTS.items():
            await gateway.store.save_tenant(a_tenant(tenant_id, parent_id=parent_id))
            await gateway.store.save_key(a_key(f"key_of_{tenant_id}", tenant_id=tenant_id))
        partner = {"kind": KeyKind.MULTI_TENANT, "tenants": ("ten_b",)}
        await gateway.store.save_key(a_key("key_partner", **partner))
        yield gateway


@pytest.fixture
async def call(gateway: Gateway) -> AsyncIterator[As]:
    connector = aiohttp.UnixConnector(gateway.admin_address.removeprefix("unix:"))
    async with aiohttp.ClientSession("http://admin", connector=connector) as session:
        call = As(session)
        await call.become(gateway.keyring, Role.VIEWER, "ten_a")
        yield call


def facts(told: Any, step: str) -> Any:
    return next(each["facts"] for each in told["steps"] if each["step"] == step)


@pytest.mark.parametrize("tenant_id", OWN)
async def test_what_its_keys_do_is_explained_without_the_upstream(
    gateway: Gateway, call: As, tenant_id: str
) -> None:
    body = {"url": "/jobs", "key_id": f"key_of_{tenant_id}"}
    told = await call("POST", "/explain", body)
    assert (told["verdict"], facts(told, "tenant")["tenant_id"]) == ("forward", tenant_id)
    assert facts(told, "handler") == {"handler": "proxy"}
    assert "secret" not in repr(told)
    await call.become(gateway.keyring, Role.VIEWER)
    whole = await call("POST", "/explain", body)
    assert facts(whole, "handler")["upstream"] == "secret-upstream"
    assert whole["steps"][:-1] == told["steps"][:-1]


@pytest.mark.parametrize("tenant_id", ["ten_b", "ten_child_of_b"])
async def test_a_key_of_others_is_answered_like_one_that_does_not_exist(
    call: As, tenant_id: str
) -> None:
    answers = [
        await call("POST", "/explain", {"url": "/jobs", "key_id": key_id}, expect=404)
        for key_id in (f"key_of_{tenant_id}", "key_of_nobody")
    ]
    assert answers[0]["detail"].replace(tenant_id, "nobody") == answers[1]["detail"]


async def test_a_request_without_a_key_is_not_explained_to_it(call: As) -> None:
    answer = await call("POST", "/explain", {"url": "/jobs"}, expect=422)
    assert [each["pointer"] for each in answer["errors"]] == ["/key_id"]


async def test_what_a_partners_key_does_is_explained_for_the_tenants_within_reach(
    gateway: Gateway, call: As
) -> None:
    body = {"url": "/jobs?for=ten_child", "key_id": "key_partner"}
    told = await call("POST", "/explain", body)
    assert facts(told, "tenant") == {
        "tenant_id": "ten_child",
        "owner": "ten_a",
        "is_suspended": False,
    }
    beyond = {"url": "/jobs?for=ten_b", "key_id": "key_partner"}
    answer = await call("POST", "/explain", beyond, expect=403)
    assert "ten_b" not in repr(answer)
    foreign = await call("POST", "/explain", body | {"url": "/jobs?for=ten_child_of_b"})
    unknown = await call("POST", "/explain", body | {"url": "/jobs?for=ten_nobody"})
    assert foreign["reason"] == unknown["reason"] == "cross_tenant"
    assert repr(foreign).replace("ten_child_of_b", "ten_nobody") == repr(unknown)
    await call.become(gateway.keyring, Role.VIEWER)
    assert facts(await call("POST", "/explain", beyond), "tenant")["tenant_id"] == "ten_b"


# ---- ip-test


class Plain:
    """Implements `gateway.admin.explain.Explaining` for a gateway without routes and proxies."""

    async def explain(self, asked: Asked) -> Explanation:
        raise AssertionError("nobody asks")

    async def derive(self, peer: str, head: RequestHead) -> ClientAddress:
        return ClientAddressResolver().resolve(peer, head)

    async def route(self, name: str) -> Route | None:
        return None


class Kept(FakeRequestLog):
    is_kept = True


@pytest.fixture
async def tried() -> AsyncIterator[As]:
    house = House()
    rows = []
    for number, (tenant_id, parent_id) in enumerate(PARENTS.items()):
        allowed = {"ip_allowlist": ("192.0.2.0/24",), "ip_allowlist_enabled": True}
        await house.store.save_tenant(a_tenant(tenant_id, parent_id=parent_id, **allowed))
        await house.store.save_key(a_key(f"key_of_{tenant_id}", tenant_id=tenant_id))
        # A partner's key may act for anybody.
        made_for = {"tenant_id": tenant_id, "client_address": f"198.51.100.{number}"}
        rows.append(a_row(key_id="key_of_ten_a", **made_for))
    async with serving_api(
        house, None, caller=As, explaining=Plain(), request_log=Kept(rows, page_max=10)
    ) as call:
        assert isinstance(call, As)
        await call.become(house.keyring, Role.AUDITOR, "ten_a")
        yield call


@pytest.mark.parametrize("tenant_id", OWN)
async def test_an_address_is_tried_on_the_lists_of_its_tenants(tried: As, tenant_id: str) -> None:
    for whose in ({"key_id": f"key_of_{tenant_id}"}, {"tenant_id": tenant_id}):
        told = await tried("POST", "/ip-test", {"address": "198.51.100.9", **whose})
        assert [(each["rule"], each["is_allowed"]) for each in told["rules"]] == [
            ("tenant_ip", False)
        ]


@pytest.mark.parametrize("tenant_id", ["ten_b", "ten_child_of_b"])
async def test_lists_of_others_are_answered_like_ones_that_do_not_exist(
    tried: As, tenant_id: str
) -> None:
    for name, prefix in (("key_id", "key_of_"), ("tenant_id", "")):
        for more in ({}, {"allow": ["192.0.2.1"]}):
            answers = [
                await tried("POST", "/ip-test", {name: f"{prefix}{each}", **more}, expect=404)
                for each in (tenant_id, "nobody")
            ]
            assert answers[0]["detail"].replace(tenant_id, "nobody") == answers[1]["detail"]
    both = {"key_id": "key_of_ten_a", "tenant_id": tenant_id}
    await tried("POST", "/ip-test", both, expect=404)


async def test_whom_a_list_would_refuse_is_told_of_its_own_requests(tried: As) -> None:
    for whose, refused in (
        ({"tenant_id": "ten_child"}, ["198.51.100.1"]),
        ({"key_id": "key_of_ten_a"}, ["198.51.100.0", "198.51.100.1"]),
    ):
        preview = (await tried("POST", "/ip-test", {"allow": ["192.0.2.1"], **whose}))["preview"]
        assert [each["client_address"] for each in preview["would_block"]] == refused
