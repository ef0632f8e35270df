"""The first visit to the dashboard, as `make run` tells of it: one address, one command, and one is signed in."""

from __future__ import annotations

import json
import re

import requests

from gateway.demo.provision import render_dashboard
from tests.e2e.process import Running


def test_the_shipped_configuration_is_one_command_away_from_its_dashboard(gateway: Running) -> None:
    """Issue 6: an address that the log names, and a token that the printed command makes."""
    [url] = set(
        re.findall(r"the dashboard is at (http://127\.0\.0\.1:\d+/)", gateway.log.read_text())
    )
    page = requests.get(url, timeout=10)
    assert (page.status_code, page.url) == (200, f"{url}dashboard/")
    [command] = re.findall(r"tollhouse (.+)", render_dashboard(url))
    token = json.loads(gateway.cli(*command.split(), "--output", "json"))["secret"]
    own = {"Origin": url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    signed_in = requests.post(
        f"{url}dashboard/session", json={"token": token}, headers=own, timeout=10
    )
    assert (signed_in.status_code, signed_in.json()["role"]) == (201, "admin")
    keys = f"{url}admin/v1/keys"
    assert requests.get(keys, timeout=10).status_code == 401
    assert requests.get(keys, cookies=signed_in.cookies, headers=own, timeout=10).status_code == 200
