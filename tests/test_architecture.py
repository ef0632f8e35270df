"""The rooms stay apart, and every rule that keeps them apart is able to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import architecture as rules
from tests.architecture import Check, Module

pytestmark = pytest.mark.pure  # reads the sources

ROOT = Path(__file__).parents[1]
MODULES = [
    Module.of(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
    for path in sorted((ROOT / "gateway").rglob("*.py"))
]


@pytest.mark.parametrize("check", rules.CHECKS, ids=lambda check: check.__name__)
def test_gateway_keeps_the_house_rules(check: Check) -> None:
    breaches = [breach for module in MODULES for breach in check(module)]
    assert not breaches, f"{check.__doc__}\n" + "\n".join(breaches)


def test_every_room_is_known() -> None:
    assert {module.room for module in MODULES} <= set(rules.MAY_IMPORT)


def test_direction_has_no_cycle() -> None:
    done: set[str] = set()
    while ready := {
        room
        for room, below in rules.MAY_IMPORT.items()
        if room not in done and below <= done | {room}
    }:
        done |= ready
    assert done == set(rules.MAY_IMPORT)


def test_task_owners_exist() -> None:
    assert {module.path for module in MODULES} >= rules.TASK_OWNERS


LONG_FUNCTION = "def f():\n" + "    x = 1\n" * rules.FUNCTION_LINES_MAX
LONG_FILE = "x = 1\n" * (rules.FILE_LINES_MAX + 1)

BREACHES = [
    # Downwards, sideways and beside the house.
    (rules.direction, "gateway/domain/routes.py", "from gateway.ports import Clock"),
    (rules.direction, "gateway/domain/routes.py", "from gateway.pipeline.handle import handle"),
    (rules.direction, "gateway/pipeline/limit.py", "from gateway.stores.memory import MemoryStore"),
    (rules.direction, "gateway/pipeline/limit.py", "from gateway.config.model import Config"),
    (rules.direction, "gateway/http1/body.py", "from gateway.ports import Clock"),
    (rules.direction, "gateway/stores/sqlite.py", "import gateway.limiters.memory"),
    (rules.direction, "gateway/stores/sqlite.py", "from gateway import telemetry"),
    (rules.direction, "gateway/telemetry/metrics.py", "from gateway.stores import memory"),
    (rules.direction, "gateway/keyring/door.py", "from gateway.stores.memory import MemoryStore"),
    (rules.direction, "gateway/listeners/public.py", "from gateway.admin.api import api"),
    (rules.direction, "gateway/admin/api.py", "from gateway.assembly import open_gateway"),
    (rules.direction, "gateway/control/worker.py", "from gateway.assembly_parts import x"),
    (rules.direction, "gateway/blueprint.py", "from gateway.cli import main"),
    (rules.direction, "gateway/assembly.py", "from gateway.demo.upstream import create_demo_app"),
    (rules.direction, "gateway/telemetry/metrics.py", "from gateway.config.load import load"),
    (rules.direction, "gateway/telemetry/metrics.py", "from gateway.config import plan"),
    (rules.direction, "gateway/config/load.py", "from .model import Config"),
    (rules.direction, "gateway/utils/misc.py", "import json"),
    (
        rules.direction,
        "gateway/ports.py",
        "if TYPE_CHECKING:\n    from gateway.keyring.door import Keyring",
    ),
    (rules.direction, "gateway/limiters/memory.py", "def f():\n    import gateway.upstreams.pool"),
    # Libraries.
    (rules.libraries, "gateway/stores/cached.py", "import aiosqlite"),
    (rules.libraries, "gateway/pipeline/record.py", "import orjson"),
    (rules.libraries, "gateway/domain/keys.py", "from pydantic import BaseModel"),
    (rules.libraries, "gateway/keyring/door.py", "from ruamel.yaml import YAML"),
    (rules.libraries, "gateway/listeners/public.py", "import httptools"),
    (rules.libraries, "gateway/listeners/public.py", "from aiohttp import web"),
    (rules.libraries, "gateway/pipeline/record.py", "from prometheus_client import Counter"),
    (rules.libraries, "gateway/listeners/public.py", "import uvloop"),
    (rules.libraries, "gateway/admin/api.py", "import flask"),
    # The quiet rooms.
    (rules.quiet_domain, "gateway/domain/bucket.py", "import time"),
    (rules.quiet_domain, "gateway/domain/bucket.py", "from asyncio import Lock"),
    (rules.quiet_domain, "gateway/domain/bucket.py", "import os.path"),
    (rules.quiet_domain, "gateway/domain/bucket.py", "async def f(): pass"),
    (rules.quiet_domain, "gateway/domain/bucket.py", "x = datetime.now()"),
    (rules.quiet_domain, "gateway/domain/bucket.py", "def f(p): return open(p)"),
    # Size, cards, printing.
    (rules.size, "gateway/domain/keys.py", LONG_FUNCTION),
    (rules.size, "gateway/domain/keys.py", LONG_FILE),
    (rules.room_card, "gateway/domain/keys.py", "x = 1"),
    (rules.no_logic_in_packages, "gateway/domain/__init__.py", '"""Card."""\nimport json'),
    (rules.no_print, "gateway/keyring/door.py", "def f(): print('x')"),
    # Tasks.
    (rules.owned_tasks, "gateway/stores/sqlite.py", "asyncio.create_task(f())"),
    (rules.owned_tasks, "gateway/stores/sqlite.py", "create_task(f())"),
    (rules.owned_tasks, "gateway/stores/sqlite.py", "loop.create_task(f())"),
    (rules.owned_tasks, "gateway/stores/sqlite.py", "asyncio.ensure_future(f())"),
    # State.
    (rules.no_module_state, "gateway/keyring/door.py", "CACHE = {}"),
    (rules.no_module_state, "gateway/keyring/door.py", "CACHE: dict[str, int] = {}"),
    (rules.no_module_state, "gateway/keyring/door.py", "SEEN = set()"),
    (rules.no_module_state, "gateway/keyring/door.py", "NAMES = [n for n in 'ab']"),
    (rules.no_module_state, "gateway/keyring/door.py", "HITS = collections.Counter()"),
    (rules.no_module_state, "gateway/keyring/door.py", "def f():\n    global x\n    x = 1"),
]


@pytest.mark.parametrize(
    ("check", "path", "text"),
    BREACHES,
    ids=[f"{check.__name__}-{path}-{n}" for n, (check, path, _) in enumerate(BREACHES)],
)
def test_a_breach_is_found(check: Check, path: str, text: str) -> None:
    assert list(check(Module.of(path, text)))


PROPER = [
    (rules.direction, "gateway/pipeline/limit.py", "from gateway.domain.keys import BoundKey"),
    (rules.direction, "gateway/upstreams/connection.py", "from gateway.http1.body import Body"),
    (rules.direction, "gateway/telemetry/metrics.py", "from gateway.config import model"),
    (rules.direction, "gateway/__main__.py", "from gateway.cli import main"),
    (rules.direction, "gateway/telemetry/metrics.py", "from gateway import __version__"),
    (rules.direction, "gateway/assembly.py", "from gateway.blueprint import draw"),
    (rules.libraries, "gateway/stores/sqlite_keys.py", "import aiosqlite\nimport json"),
    (rules.quiet_domain, "gateway/pipeline/limit.py", "import time"),
    (rules.no_print, "gateway/cli/keys.py", "print('x')"),
    (
        rules.owned_tasks,
        "gateway/control/worker.py",
        "async def f():\n    async with TaskGroup() as g:\n        g.create_task(h())",
    ),
    (rules.owned_tasks, "gateway/control/worker.py", "def f(g: TaskGroup): g.create_task(h())"),
    (
        rules.no_module_state,
        "gateway/keyring/door.py",
        "TABLE: Final = {}\n__all__ = ['x']\nN = ()",
    ),
    (rules.no_logic_in_packages, "gateway/domain/__init__.py", '"""Card."""'),
]


@pytest.mark.parametrize(
    ("check", "path", "text"),
    PROPER,
    ids=[f"{check.__name__}-{path}-{n}" for n, (check, path, _) in enumerate(PROPER)],
)
def test_proper_code_is_left_alone(check: Check, path: str, text: str) -> None:
    assert not list(check(Module.of(path, text)))
