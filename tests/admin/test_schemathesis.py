"""schemathesis reads the OpenAPI document and tries what it says, and what it does not say, against the running API."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.admin.caller import TOKEN, serving_app
from tests.admin.whole import whole_app
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant
from tests.keyring.house import House

_SETTINGS = Path(__file__).with_name("schemathesis.toml")
_EXAMPLES = "4"  # per operation and phase; the coverage phase is exhaustive besides
_SECONDS_MAX = 300


class HastyClock(FakeClock):
    """Lets enough time pass between any two looks that no address is throttled."""

    def monotonic(self) -> float:
        self.mono += 60.0
        return super().monotonic()


@pytest.mark.slow
async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    house = House(clock=HastyClock())
    await house.store.save_tenant(a_tenant())
    await house.store.save_key(a_key())
    async with serving_app(whole_app(lambda: house.keyring), None) as call:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", _SETTINGS, "--no-color"),
            *("run", f"{call.base}/admin/v1/openapi.json", "--checks", "all"),
            *("--max-examples", _EXAMPLES, "--seed", "1", "--header"),
            f"Authorization: Bearer {TOKEN}",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(_SECONDS_MAX):
            output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
