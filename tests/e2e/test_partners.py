"""An integration partner with customers, through a real process: IV-13, IV-14, IV-35, X-21, JH-7."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from gateway.domain.digest import Peppers
from gateway.domain.key_format import KeyFormat
from tests.e2e.process import Running, running, write_config
from tests.e2e.waiting import eventually

PEPPERS = Peppers("p1", {"p1": b"0123456789abcdef" * 4})
FORMAT = KeyFormat("tollhouse", "sk", ("live", "test", "dev"))
PARTNER = FORMAT.mint("live", "P" * 43)
CUSTOMER = FORMAT.mint("live", "C" * 43)
SANDBOX = FORMAT.mint("dev", "D" * 43)

PLANS = (
    "plans:\n"
    "  partner: {rate: {per_minute: 60, burst: 3}, owners: [lineage_tenant]}\n"
    "  customer: {rate: {per_minute: 60, burst: 5}, owners: [tenant]}\n"
)
TENANTS = """bootstrap:
  keys:
    - {id: key_partner, tenant: globex, name: P, format: tollhouse, environment: live, pepper: p1,
       hash: 'HASH_P', scopes: ['*'], plan: partner, kind: multi_tenant, tenants: [wayne]}
    - {id: key_customer, tenant: initech, name: C, format: tollhouse, environment: live, pepper: p1,
       hash: 'HASH_C', scopes: ['*'], plan: unlimited}
    - {id: key_sandbox, tenant: globex, name: D, format: tollhouse, environment: dev, pepper: p1,
       hash: 'HASH_D', scopes: ['*'], kind: multi_tenant}
  tenants:
    - {id: hooli, name: Hooli, parent: globex, plan: customer}
    - {id: initech, name: Initech, parent: globex}
    - {id: acme, name: Acme, parent: globex}
    - {id: globex, name: Globex}
    - {id: wayne, name: Wayne}
    - {id: umbrella, name: Umbrella}
"""


def _text(folder: Path, upstream: str) -> str:
    text = write_config(folder, upstream).read_text()
    for token, mark in ((PARTNER, "HASH_P"), (CUSTOMER, "HASH_C"), (SANDBOX, "HASH_D")):
        digest = PEPPERS.digest(token.encode()).hex()
        text = text.replace("bootstrap:\n  tenants:\n", TENANTS) if mark == "HASH_P" else text
        text = text.replace(mark, digest)
    text = text.replace('    #query: ""\n', "    query: companyId\n")
    text = text.replace("plans:\n", PLANS, 1)
    return text.replace("environments: [live, test]", "environments: [live, test, dev]", 1)


@pytest.fixture(scope="module")
def partners(demo_upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("partners")
    with running(folder, demo_upstream, _text(folder, demo_upstream)) as process:
        yield process


def ask(
    gateway: Running, company: str = "", token: str = PARTNER, path: str = "/v1/echo"
) -> requests.Response:
    return requests.get(
        gateway.url + path,
        params={"companyId": company} if company else {},
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )


def line_of(gateway: Running, answer: requests.Response) -> dict[str, Any]:
    """Return the access line of a request."""
    request_id = answer.headers["X-Request-Id"]
    found: list[dict[str, Any]] = []

    def is_written() -> bool:
        lines = gateway.access_log.read_text().splitlines()
        found[:] = [json.loads(line) for line in lines if request_id in line]
        return bool(found)

    eventually(is_written)
    return found[0]


def test_iv_14_a_partners_key_acts_for_its_customers_and_the_upstream_is_told_for_whom(
    partners: Running,
) -> None:
    for company in ("initech", "wayne", "globex"):
        answer = ask(partners, company)
        assert answer.status_code == 200, answer.text
        seen = answer.json()
        headers = dict(seen["headers"])
        assert headers["X-Gateway-Tenant"] == company
        assert headers["X-Gateway-Key-Tenant"] == "globex"
        assert headers["X-Gateway-Key-Id"] == "key_partner"
        assert seen["query"] == f"companyId={company}"
        line = line_of(partners, answer)
        assert (line["key_id"], line["tenant_id"]) == ("key_partner", company)
        assert line["billable"] is True


def test_iv_35_x_21_a_third_company_is_refused_like_one_that_does_not_exist(
    partners: Running,
) -> None:
    answers = [ask(partners, company) for company in ("umbrella", "nobody")]
    bodies = []
    for answer in answers:
        assert answer.status_code == 403
        body = answer.json()
        assert body["code"] == "cross_tenant"
        bodies.append({name: value for name, value in body.items() if "id" not in name})
        line = line_of(partners, answer)
        assert (line["reason"], line["tenant_id"]) == ("cross_tenant", "globex")
    for body in bodies:
        body.pop("instance", None)
    assert bodies[0] == bodies[1]


def test_iv_14_a_partners_key_has_to_name_a_company(partners: Running) -> None:
    answer = ask(partners)
    assert (answer.status_code, answer.json()["code"]) == (400, "tenant_required")
    twice = requests.get(
        partners.url + "/v1/echo?companyId=initech&companyId=wayne",
        headers={"Authorization": f"Bearer {PARTNER}"},
        timeout=10,
    )
    assert (twice.status_code, twice.json()["code"]) == (400, "tenant_required")
    assert ask(partners, path="/v1/account/profile").status_code == 200


def test_iv_13_a_regular_key_stays_in_its_company(partners: Running) -> None:
    for company in ("", "initech"):
        assert ask(partners, company, CUSTOMER).status_code == 200
    refused = ask(partners, "wayne", CUSTOMER)
    assert (refused.status_code, refused.json()["code"]) == (403, "cross_tenant")


def test_iv_14_limits_count_per_key_and_company_and_per_company(partners: Running) -> None:
    taken = [ask(partners, "acme").status_code for _ in range(4)]
    assert taken == [200, 200, 200, 429]
    assert ask(partners, "hooli").status_code == 200  # another customer of the same partner
    assert line_of(partners, ask(partners, "acme"))["tenant_id"] == "acme"
    refused = ask(partners, "acme")
    assert refused.json()["violated-policies"] == ["lineage_tenant-minute"]


def test_iv_14_suspending_a_customer_stops_what_the_partner_does_for_it_and_nothing_else(
    demo_upstream: str, tmp_path: Path
) -> None:
    with running(tmp_path, demo_upstream, _text(tmp_path, demo_upstream)) as gateway:
        assert ask(gateway, "initech").status_code == 200
        stream = requests.get(
            gateway.url + "/v1/events?companyId=initech&n=1000",
            headers={"Authorization": f"Bearer {PARTNER}"},
            stream=True,
            timeout=30,
        )
        events = stream.iter_content(1)
        assert next(events)
        listed = json.loads(gateway.cli("streams", "list", "--output", "json"))
        streams = listed["data"] if isinstance(listed, dict) else listed
        assert [each["tenant_id"] for each in streams] == ["initech"]
        gateway.cli("tenants", "suspend", "initech", "--reason", "unpaid")
        with pytest.raises(requests.exceptions.RequestException):
            for _ in events:
                pass
        refused = ask(gateway, "initech")
        assert (refused.status_code, refused.json()["code"]) == (403, "tenant_suspended")
        assert ask(gateway, "wayne").status_code == 200
        gateway.cli("tenants", "resume", "initech")
        assert ask(gateway, "initech").status_code == 200


def test_jh_7_a_sandbox_key_of_a_partner_is_not_billed_and_stays_in_the_sandbox(
    partners: Running,
) -> None:
    answer = ask(partners, "initech", SANDBOX)
    assert answer.status_code == 200
    assert dict(answer.json()["headers"])["X-Environment"] == "dev"
    line = line_of(partners, answer)
    assert line["billable"] is False
    assert line["upstream"] == "demo-sandbox"


@pytest.mark.parametrize("workers", [2])
def test_iv_14_every_worker_knows_whom_a_key_acts_for(
    demo_upstream: str, tmp_path: Path, workers: int
) -> None:
    text = _text(tmp_path, demo_upstream)
    assert "#workers: 1\n" in text
    with running(
        tmp_path, demo_upstream, text.replace("#workers: 1\n", f"workers: {workers}\n")
    ) as gateway:
        for _ in range(12):
            assert ask(gateway, "wayne", CUSTOMER).status_code == 403
        gateway.cli("tenants", "suspend", "wayne", "--reason", "unpaid")
        for _ in range(12):
            assert ask(gateway, "wayne").json()["code"] == "tenant_suspended"
        gateway.cli("tenants", "resume", "wayne")
        assert ask(gateway, "wayne").status_code == 200
