"""Builds Tollhouse: as plain Python, or with the rooms of a request compiled when `TOLLHOUSE_COMPILE` is 1.

Knows which modules are compiled by mypyc, and why others are not; nothing else does. Everything that is not about
compiling stands in pyproject.toml. The sources are the same, are installed in both cases, and the plain build is the
reference. Where they stay (`pip install --editable`), their bytecode is made as it is for every other install.
"""

from __future__ import annotations

import compileall
import os
import re
import shlex
import shutil
import sysconfig
import tomllib
from pathlib import Path
from typing import Final

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel
from setuptools.errors import SetupError

ROOT: Final = Path(__file__).parent

COMPILED: Final = (
    "gateway/build.py",
    "gateway/control/deadlines.py",
    "gateway/domain/**/*.py",
    "gateway/eager.py",
    "gateway/http1/*.py",
    "gateway/limiters/**/*.py",
    "gateway/listeners/*.py",
    "gateway/outbox.py",
    "gateway/pipeline/*.py",
    "gateway/stores/cached.py",
    "gateway/stores/fenced.py",
    "gateway/telemetry/*.py",
    "gateway/upstreams/*.py",
)
"""The modules that a request passes through."""

LEFT_OUT: Final = {
    "gateway/**/__init__.py": "holds a docstring only",
    "gateway/limiters/redis/*.py": "its time is spent in redis-py, which a build need not have: it is an extra",
    "gateway/limiters/shared/mutexes.py": "hands addresses of its variables to C; compiled, a variable dies after "
    "its last use",
    "gateway/limiters/shared/segment.py": "the same; works at start only",
    "gateway/listeners/metrics.py": "an aiohttp application: its time is spent in aiohttp",
    "gateway/telemetry/otlp.py": "works in a thread, whose time is spent in libraries; they come with an extra",
    "gateway/upstreams/probes.py": "tasks beside the requests, whose time is spent in aiohttp",
    "gateway/upstreams/resolver.py": "a task beside the requests, whose time is spent in name servers",
}
"""Modules that the patterns above would take, and why they stay plain."""

MYPY: Final = "mypy[mypyc]~=2.4.1"
"""The compiler. Another minor version of it is another compiler: it is taken on purpose, when the tests passed."""


ONE_LIBRARY: Final = ("-fno-semantic-interposition", "-fvisibility=hidden", "-fno-plt")
"""What is compiled into one library calls itself: nobody replaces its functions when it is loaded, so the compiler may
inline them. A forwarded request takes a tenth less processor time beyond the kernel's."""

SLICES: Final = """
static PyObject *slice_of_bytes(PyObject *bytes, CPyTagged start, CPyTagged end) {
    if (CPyTagged_CheckShort(start) && CPyTagged_CheckShort(end)) {
        Py_ssize_t size = Py_SIZE(bytes);
        Py_ssize_t from = CPyTagged_ShortAsSsize_t(start), to = CPyTagged_ShortAsSsize_t(end);
        from += from < 0 ? size : 0;
        to += to < 0 ? size : 0;
        if (PyBytes_CheckExact(bytes) && (to > size ? size : to) <= (from < 0 ? 0 : from)) {
            return PyBytes_FromStringAndSize(NULL, 0);
        }
    }
    return CPyBytes_GetSlice(bytes, start, end);
}
"""
"""`b"abc"[3:2]` is `b""`. mypyc 2.4 makes a `SystemError` of it, so slices of bytes go through this function first."""


def compiled_modules(root: Path = ROOT) -> list[str]:
    """Return the paths of the modules that are compiled, relative to `root`."""
    left_out = _matching(root, LEFT_OUT)
    return sorted(_matching(root, COMPILED) - left_out)


def _matching(root: Path, patterns: tuple[str, ...] | dict[str, str]) -> set[str]:
    return {str(path.relative_to(root)) for pattern in patterns for path in root.glob(pattern)}


class CompileRooms(build_ext):
    """Translates the modules to C when they are built, not when pip asks for requirements or metadata."""

    def run(self) -> None:
        self.distribution.ext_modules = _extensions()
        self.initialize_options()
        self.finalize_options()
        super().run()


class RefuseEditable(editable_wheel):
    """An editable install would put compiled modules beside the sources, where they outlive the next edit."""

    def run(self) -> None:
        raise SetupError(
            "TOLLHOUSE_COMPILE: an editable install cannot be compiled; install without --editable"
        )


class EditableWithBytecode(editable_wheel):
    """pip makes the bytecode of what it copies. Of sources that stay where they are, Python makes it when they are
    first imported, or at every start where it may not be kept (`PYTHONDONTWRITEBYTECODE`, somebody else's folder): half
    a second each.
    """

    def run(self) -> None:
        super().run()
        compileall.compile_dir(ROOT / "gateway", quiet=2)


class CompiledDistribution(Distribution):
    """Says that there is something to compile before it is known what."""

    def has_ext_modules(self) -> bool:
        return True


def _extensions() -> list[Extension]:
    _need_compiler()
    from mypyc.build import mypycify  # only a compiled build requires it

    os.chdir(ROOT)
    optimization = os.environ.get("TOLLHOUSE_COMPILE_OPT", "2")  # as fast as 3, and a megabyte less
    found: list[Extension] = mypycify(
        ["--config-file", "pyproject.toml", *compiled_modules()],
        opt_level=optimization,
        debug_level="0",  # tracebacks name lines without it, and it takes gcc minutes
        group_name="tollhouse",
    )
    for source in {source for extension in found for source in extension.sources}:
        _mend(Path(source))
    for extension in found:
        # Nobody reads warnings about generated code, and to look for this one takes gcc minutes.
        extension.extra_compile_args += ["-w", "-Wno-misleading-indentation", *ONE_LIBRARY]
    return found


def _mend(source: Path) -> None:
    """Correct what mypyc 2.4 gets wrong: slices of bytes (`SLICES`), and the sense of a test.

    Whether a tuple that begins with a number is an error is asked as "is it -113 and did something fail?". Where the
    answer is used the other way round, it negates the first half only, and a whole tuple passes for an error.
    """
    text = source.read_text("utf-8")
    text = re.sub(r"( != [-\w.]+) && PyErr_Occurred\(\)", r"\1 || !PyErr_Occurred()", text)
    if " CPyBytes_GetSlice(" in text:
        begin = text.index("\n", text.rindex("\n#include ") + 1)
        text = (
            text[:begin] + SLICES + text[begin:].replace(" CPyBytes_GetSlice(", " slice_of_bytes(")
        )
    source.write_text(text, "utf-8")


def _need_compiler() -> None:
    """Say what is missing before minutes of work end in a message of distutils."""
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which(shlex.split(command)[0]) is None:
        missing = f"there is no C compiler {command!r} here"
    elif not header.exists():
        missing = f"{header} is missing"
    else:
        return
    raise SetupError(
        f"TOLLHOUSE_COMPILE: {missing} (Debian: apt-get install gcc python3-dev). Without TOLLHOUSE_COMPILE nothing "
        "is compiled and neither is needed; a wheel that was compiled elsewhere needs neither as well."
    )


def _requirements() -> list[str]:
    """Return what compiling requires: the compiler, and what the modules import, for its types."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [MYPY, *project["dependencies"]]


def _is_wanted() -> bool:
    value = os.environ.get("TOLLHOUSE_COMPILE", "0")
    if value not in {"", "0", "1"}:
        raise SetupError(f"TOLLHOUSE_COMPILE is {value!r}; 1 compiles, 0 does not")
    return value == "1"


if __name__ == "__main__":
    if _is_wanted():
        setup(
            cmdclass={"build_ext": CompileRooms, "editable_wheel": RefuseEditable},
            distclass=CompiledDistribution,
            setup_requires=_requirements(),
        )
    else:
        setup(cmdclass={"editable_wheel": EditableWithBytecode})
