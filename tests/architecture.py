"""The checks behind `test_architecture`: each reads one module's `ast` and names breaches.

A check takes a `Module` and yields one sentence per breach, with the line. The tables are the
rules; a new room, library or owner of tasks is one entry here, made on purpose, seen in review.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Final

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 60

_LOW: Final = frozenset({"build", "domain", "eager", "outbox", "ports", "config", "zones"})
_MIDDLE: Final = frozenset(
    {
        *("pipeline", "http1", "keyring", "audit", "alerts", "stores", "limiters", "upstreams"),
        "telemetry",
    }
)
_SHELLS: Final = frozenset({"listeners", "admin", "control"})

MAY_IMPORT: Final[dict[str, frozenset[str]]] = {
    "domain": frozenset(),
    "build": frozenset(),
    "eager": frozenset(),
    "outbox": frozenset(),
    "zones": frozenset(),
    "ports": frozenset({"domain", "eager"}),
    "config": frozenset({"domain", "ports", "zones"}),
    "pipeline": frozenset({"domain", "eager", "ports"}),
    "http1": frozenset({"domain"}),
    "keyring": _LOW,
    "audit": _LOW,
    "alerts": _LOW,
    "stores": _LOW,
    "limiters": _LOW,
    "telemetry": _LOW,
    "upstreams": _LOW | {"http1"},  # an upstream connection is a shell around HTTP/1.1 without I/O
    "listeners": _LOW | _MIDDLE,
    "admin": _LOW | _MIDDLE,
    "control": _LOW | _MIDDLE,
    "assembly": _LOW | _MIDDLE | _SHELLS,
    "demo": frozenset({"domain", "ports", "keyring"}),
    "cli": _LOW | _MIDDLE | _SHELLS | {"assembly", "demo"},
    "gateway": frozenset(),
}
"""Room -> the rooms it may import besides itself."""

ROOM_OF: Final = {
    "__init__": "gateway",
    "__main__": "cli",
    "blueprint": "assembly",
    "store_ports": "ports",
    "usage_ports": "ports",
    "cluster_ports": "ports",
    "alert_ports": "ports",
}
"""Modules directly under `gateway` whose room is not their own name."""

LIBRARIES: Final[dict[str, tuple[str, ...]]] = {
    "aiosqlite": ("gateway/stores/sqlite*",),
    "asyncpg": (
        "gateway/stores/postgres/*",
        "gateway/assembly/stores.py",
    ),  # the latter asks whether it is there
    "orjson": (
        "gateway/telemetry/*",
        "gateway/admin/*",
        "gateway/cli/*",
        "gateway/listeners/metrics.py",
        "gateway/stores/snapshots/pages.py",
        "gateway/config/sections/bootstrap.py",  # measures metadata as it will be stored
    ),
    "pydantic": ("gateway/config/*", "gateway/admin/*"),
    "pydantic_core": ("gateway/config/*",),
    "ruamel": ("gateway/config/*", "gateway/cli/*"),
    "cryptography": ("gateway/audit/signer.py",),
    "httptools": ("gateway/http1/*",),
    "maxminddb": ("gateway/telemetry/geoip.py",),
    "aiohttp": (
        "gateway/admin/*",
        "gateway/listeners/metrics.py",
        "gateway/demo/*",
        "gateway/cli/*",
        "gateway/assembly/operators.py",  # imported when clients are served already
        "gateway/upstreams/probes.py",
        "gateway/alerts/channels/posting.py",
    ),
    "aiosmtplib": ("gateway/alerts/channels/email.py",),
    "yarl": ("gateway/upstreams/probes.py",),  # aiohttp's URLs
    "prometheus_client": ("gateway/telemetry/*", "gateway/listeners/metrics.py"),
    "opentelemetry": ("gateway/telemetry/otlp.py",),  # an extra: only who exports traces
    "redis": (
        "gateway/limiters/redis/*",
    ),  # an optional extra: imported only where limits are in Redis
    "uvloop": ("gateway/control/*", "gateway/cli/*", "gateway/assembly*"),
}
"""Third-party library -> the files that may import it."""

NOT_IN_DOMAIN: Final = frozenset(
    {
        *("asyncio", "concurrent", "multiprocessing", "threading", "subprocess", "signal"),
        *("io", "os", "pathlib", "select", "selectors", "socket", "ssl", "sys", "tempfile"),
        *("logging", "random", "secrets", "time", "uuid"),
    }
)

TASK_OWNERS: Final = frozenset(
    {
        "gateway/assembly/upstream_care.py",  # upkeep of upstreams, in the group it was given; cancelled by stop()
        "gateway/assembly/worker.py",  # its drain, in the group that `serve` holds
        "gateway/control/channel.py",  # what a peer asks for, in the group that it was given
        "gateway/control/retirement.py",  # what waits for requests from before a reload, in the group it was given
        "gateway/control/supervisor.py",  # the lives of workers, in the group it was given
        "gateway/stores/acting.py",  # one look-up of a tenant for all that wait, ended by its close()
        "gateway/stores/cached.py",  # one look-up for all that wait, ended by its close()
        "gateway/stores/postgres/database.py",  # transactions whose callers may go away, awaited by its close()
        "gateway/stores/postgres/silence.py",  # one that asks on until it is answered, ended by its close()
        "gateway/stores/rekeying.py",  # one worker for all that waits, ended by its close()
        "gateway/stores/sqlite_file.py",  # transactions whose callers may go away, awaited by its settle()
        "gateway/upstreams/dialer.py",  # attempts to connect, ended by its close()
    }
)
"""Files that own the tasks which they create and await them; elsewhere only a `TaskGroup` may."""

_PRINTERS: Final = frozenset({"cli", "demo"})
_MUTABLE_CALLS: Final = frozenset(
    {"dict", "list", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict"}
)
_MUTABLE_NODES: Final = (
    ast.Dict,
    ast.List,
    ast.Set,
    ast.DictComp,
    ast.ListComp,
    ast.SetComp,
)


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its path from the repository's root, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, path: str, text: str) -> Module:
        return cls(path, text, ast.parse(text, path))

    @property
    def room(self) -> str:
        """Return the room: the first name below `gateway`."""
        name = self.path.split("/")[1].removesuffix(".py")
        name = "assembly" if name.startswith("assembly") else name
        return ROOM_OF.get(name, name)


Check = Callable[[Module], Iterator[str]]


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of all imports, also those of functions and `TYPE_CHECKING`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, ".relative"
            else:
                for alias in node.names:
                    yield node.lineno, f"{node.module}.{alias.name}"


def direction(module: Module) -> Iterator[str]:
    """A room imports only itself and the rooms that its entry in `MAY_IMPORT` names."""
    if module.room not in MAY_IMPORT:
        yield f"{module.path}: room {module.room!r} is not in MAY_IMPORT"
        return
    for line, name in imports(module):
        parts = name.split(".")
        if parts[0] == "":
            yield f"{module.path}:{line}: relative import; write the whole name"
        elif parts[0] == "gateway" and parts[1:] not in ([], ["__version__"]):
            first = "assembly" if parts[1].startswith("assembly") else parts[1]
            room = ROOM_OF.get(first, first)
            if room != module.room and room not in MAY_IMPORT[module.room]:
                yield f"{module.path}:{line}: {module.room} must not import {room}"
            elif room == "config" and module.room in _MIDDLE and parts[2] != "model":
                yield f"{module.path}:{line}: {module.room} may import only config.model"


def libraries(module: Module) -> Iterator[str]:
    """A third-party library is imported only by the files that `LIBRARIES` gives it."""
    for line, name in imports(module):
        top = name.split(".")[0]
        if top in {"", "gateway"} or top in sys.stdlib_module_names:
            continue
        if not any(fnmatch(module.path, pattern) for pattern in LIBRARIES.get(top, ())):
            yield f"{module.path}:{line}: {top} must not be imported here"


def quiet_domain(module: Module) -> Iterator[str]:
    """The domain has no I/O, no clock, no randomness, no logging and nothing asynchronous."""
    if module.room != "domain":
        return
    for line, name in imports(module):
        if name.split(".")[0] in NOT_IN_DOMAIN:
            yield f"{module.path}:{line}: domain must not import {name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"{module.path}:{node.lineno}: domain must not be asynchronous"
        if isinstance(node, ast.Attribute) and node.attr in {"now", "today", "utcnow"}:
            yield f"{module.path}:{node.lineno}: domain must not read the clock"
        if isinstance(node, ast.Name) and node.id in {"open", "input", "print"}:
            yield f"{module.path}:{node.lineno}: domain must not do I/O"


def size(module: Module) -> Iterator[str]:
    """Files and functions stay short enough to be read at once."""
    lines = module.text.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{module.path}: {lines} lines, at most {FILE_LINES_MAX}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield (
                    f"{module.path}:{node.lineno}: {node.name} has {length} lines, "
                    f"at most {FUNCTION_LINES_MAX}"
                )


def room_card(module: Module) -> Iterator[str]:
    """Every module says what it knows."""
    if not ast.get_docstring(module.tree):
        yield f"{module.path}:1: no module docstring"


def no_logic_in_packages(module: Module) -> Iterator[str]:
    """An `__init__` holds its docstring; the command line's also the entry point, ours the version."""
    if not module.path.endswith("/__init__.py") or module.room == "cli":
        return
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            continue
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield f"{module.path}:{node.lineno}: a package's __init__ holds only its docstring"


def no_print(module: Module) -> Iterator[str]:
    """Only the command line and the demo talk to a terminal."""
    if module.room in _PRINTERS:
        return
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ):
            yield f"{module.path}:{node.lineno}: print() outside of cli and demo"


def owned_tasks(module: Module) -> Iterator[str]:
    """A task belongs to a `TaskGroup` or is made in a file that `TASK_OWNERS` names."""
    if module.path in TASK_OWNERS:
        return
    groups = set(_task_groups(module.tree))
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
        if name not in {"create_task", "ensure_future"}:
            continue
        owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
        if owner not in groups:
            yield f"{module.path}:{node.lineno}: {name} without an owner that awaits the task"


def _task_groups(tree: ast.Module) -> Iterator[str]:
    """Yield the names that stand for a `TaskGroup`: entered, assigned or annotated as one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.withitem) and node.optional_vars is not None:
            name, kind = ast.unparse(node.optional_vars), ast.unparse(node.context_expr)
        elif isinstance(node, ast.Assign):
            name, kind = ast.unparse(node.targets[0]), ast.unparse(node.value)
        elif isinstance(node, ast.arg) and node.annotation is not None:
            name, kind = node.arg, ast.unparse(node.annotation)
        else:
            continue
        if "TaskGroup" in kind:
            yield name


def no_module_state(module: Module) -> Iterator[str]:
    """No module-level state: mutable values are `Final` tables, no function says `global`."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign):
            names = [ast.unparse(target) for target in node.targets]
            if names != ["__all__"] and _is_mutable(node.value):
                yield f"{module.path}:{node.lineno}: {names[0]} is mutable; declare it Final"
        elif isinstance(node, ast.AnnAssign) and node.value and _is_mutable(node.value):
            name, kind = ast.unparse(node.target), ast.unparse(node.annotation)
            if not kind.startswith("Final"):
                yield f"{module.path}:{node.lineno}: {name} is mutable; declare it Final"
    for inner in ast.walk(module.tree):
        if isinstance(inner, ast.Global):
            yield f"{module.path}:{inner.lineno}: global {', '.join(inner.names)}"


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).rpartition(".")[2] in _MUTABLE_CALLS
    return isinstance(value, _MUTABLE_NODES)


CHECKS: Final[tuple[Check, ...]] = (
    direction,
    libraries,
    quiet_domain,
    size,
    room_card,
    no_logic_in_packages,
    no_print,
    owned_tasks,
    no_module_state,
)
