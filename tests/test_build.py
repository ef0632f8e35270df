"""One list says what is compiled, it can be compiled faithfully, and a build says which one it is."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest

from gateway.build import BUILD
from tests import compilable
from tests.architecture import Module

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def recipe() -> Any:
    """The module setup.py; importing it builds nothing."""
    pytest.importorskip("setuptools.command.editable_wheel")
    spec = importlib.util.spec_from_file_location("recipe", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path: str) -> Module:
    return Module.of(path, (ROOT / path).read_text("utf-8"))


def test_the_build_is_the_one_that_is_to_be_tested() -> None:
    assert os.environ.get("TOLLHOUSE_BUILD", "pure") == BUILD


@pytest.mark.pure
def test_every_pattern_of_the_list_still_finds_modules(recipe: Any) -> None:
    for pattern in (*recipe.COMPILED, *recipe.LEFT_OUT):
        assert list(ROOT.glob(pattern)), pattern


@pytest.mark.pure
def test_what_a_request_passes_through_is_compiled(recipe: Any) -> None:
    compiled = recipe.compiled_modules()
    assert {"gateway/pipeline/handle.py", "gateway/eager.py", "gateway/build.py"} <= set(compiled)
    assert not [path for path in compiled if path.endswith("__init__.py")]


@pytest.mark.pure
@pytest.mark.parametrize("check", compilable.CHECKS, ids=lambda check: check.__name__)
def test_compiled_modules_hold_nothing_that_is_compiled_into_something_else(
    check: Callable[[Module], Iterator[str]], recipe: Any
) -> None:
    breaches = [b for path in recipe.compiled_modules() for b in check(read(path))]
    assert not breaches, f"{check.__doc__}\n" + "\n".join(breaches)


@pytest.mark.pure
def test_no_plain_class_of_the_gateway_inherits_from_a_compiled_one(recipe: Any) -> None:
    paths = recipe.compiled_modules()
    compiled = frozenset(path.removesuffix(".py").replace("/", ".") for path in paths)
    plain = {str(path.relative_to(ROOT)) for path in (ROOT / "gateway").rglob("*.py")} - set(paths)
    assert not [breach for path in plain for breach in compilable.heirs(read(path), compiled)]


BREACHES = [
    "async def f():\n    try:\n        g()\n    except ValueError:\n        await h()",
    "async def f():\n    try:\n        g()\n    except ValueError:\n        async with h():\n            pass",
    "def f():\n    try:\n        g()\n    finally:\n        yield 1",
    "rest = rest[os.write(1, rest) :]",
    "x = y[: next(z)]",
    "import ctypes",
    "from ctypes import addressof",
    "self._real = 1",
    "_LINE: Final = slice(7, 31)",
    "_LINE = slice(7, 31)",
    "class A:\n    part: Final = slice(7, 31)",
    "class A:\n    part: object",
    "class A:\n    part: object = None",
]

PROPER = [
    "async def f():\n    try:\n        await g()\n    except ValueError:\n        failed = True\n    await h()",
    "def f():\n    try:\n        g()\n    except ValueError:\n        def k():\n            yield 1\n        k()",
    "x = y[len(z) : match.end()]",
    "def f(start: int) -> bytes:\n    part = slice(start, 31)\n    return x[part]",
    "class A:\n    part: bytes\n    def f(self, other: object) -> object: ...",
]


@pytest.mark.parametrize("text", BREACHES)
def test_a_breach_is_found(text: str) -> None:
    module = Module.of("gateway/eager.py", text)
    assert [breach for check in compilable.CHECKS for breach in check(module)]


@pytest.mark.parametrize("text", PROPER)
def test_what_is_proper_passes(text: str) -> None:
    module = Module.of("gateway/eager.py", text)
    assert not [breach for check in compilable.CHECKS for breach in check(module)]


def test_a_plain_heir_of_a_compiled_class_is_found() -> None:
    text = "from gateway.outbox import Outbox\nclass Mine(Outbox):\n    pass"
    module = Module.of("gateway/keyring/door.py", text)
    assert list(compilable.heirs(module, frozenset({"gateway.outbox"})))


def build(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run setup.py as pip does, as far as it gets."""
    (folder / "setup.py").write_text((ROOT / "setup.py").read_text())
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (folder / "README.md").touch()
    (folder / "LICENSE").touch()
    return subprocess.run(
        [sys.executable, "setup.py", *arguments],
        cwd=folder,
        env={**os.environ, "TOLLHOUSE_COMPILE": "1", **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.pure
@pytest.mark.usefixtures("recipe")
def test_without_a_c_compiler_the_build_says_what_to_do(tmp_path: Path) -> None:
    done = build(tmp_path, "build_ext", CC="no-such-compiler -O2")
    assert done.returncode != 0
    assert "there is no C compiler 'no-such-compiler -O2' here" in done.stderr
    assert "apt-get install gcc python3-dev" in done.stderr


@pytest.mark.pure
@pytest.mark.usefixtures("recipe")
def test_a_wish_that_is_neither_yes_nor_no_is_refused(tmp_path: Path) -> None:
    done = build(tmp_path, "build_ext", TOLLHOUSE_COMPILE="yes")
    assert "TOLLHOUSE_COMPILE is 'yes'" in done.stderr


@pytest.mark.pure
@pytest.mark.usefixtures("recipe")
def test_an_editable_install_is_never_compiled(tmp_path: Path) -> None:
    done = build(tmp_path, "editable_wheel")
    assert "an editable install cannot be compiled" in done.stderr


@pytest.mark.pure
@pytest.mark.usefixtures("recipe")
def test_an_editable_install_makes_the_bytecode_of_the_sources_also_where_python_would_not(
    tmp_path: Path,
) -> None:
    room = tmp_path / "gateway" / "domain"
    room.mkdir(parents=True)
    for module in (room.parent / "__init__.py", room / "__init__.py", room / "keys.py"):
        module.write_text('"""Said."""\n')
    done = build(tmp_path, "editable_wheel", TOLLHOUSE_COMPILE="0", PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 0, done.stderr
    for module in room.parent.rglob("*.py"):
        assert Path(cache_from_source(str(module))).exists()


@pytest.mark.pure
def test_what_the_compiler_gets_wrong_is_corrected(tmp_path: Path, recipe: Any) -> None:
    source = tmp_path / "module.c"
    source.write_text(
        "#include <CPy.h>\n#include <bytes_ops.c>\n"
        "    r1 = CPyBytes_GetSlice(r2, r3, r4);\n"
        "    if (likely(r5.f0 != -113.0 && PyErr_Occurred())) goto CPyL2;\n"
        "    if (unlikely(r5.f0 == -113.0 && PyErr_Occurred())) {\n"
    )
    recipe._mend(source)
    mended = source.read_text()
    assert "r1 = slice_of_bytes(r2, r3, r4);" in mended
    assert "return CPyBytes_GetSlice(bytes, start, end);" in mended
    assert "(r5.f0 != -113.0 || !PyErr_Occurred())" in mended
    assert "(r5.f0 == -113.0 && PyErr_Occurred())" in mended
    assert mended.index("slice_of_bytes") > mended.index("bytes_ops.c")
