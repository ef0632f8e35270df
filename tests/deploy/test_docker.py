"""The image, as far as it can be judged without Docker: it is linted, what it is made of is built, and what it runs is
run under the conditions of a container (`tests.deploy.container`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.deploy import container as boxes
from tests.deploy.container import Container
from tests.deploy.dockerfile import command, copied_from_context, stages, values
from tests.deploy.files import ROOT, read
from tests.deploy.tools import tool
from tests.e2e.waiting import eventually

DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
CONFIG = ROOT / "deploy" / "docker" / "config.yaml"
STAGES = stages(DOCKERFILE)
IMAGE = STAGES[-1]
HEALTHCHECK = command(IMAGE, "HEALTHCHECK")
RUN = [*command(IMAGE, "ENTRYPOINT"), *command(IMAGE, "CMD")]
NAMES_FOR_HERE = {"tollhouse": [sys.executable, "-m", "gateway"], "python": [sys.executable]}

DEMO = """
scopes: {atoms: ["jobs:read"]}
routes:
  - {name: whoami, match: {path: /v1/whoami}, handler: introspect}
"""

needs_namespaces = pytest.mark.skipif(
    bool(boxes.why_not()), reason=f"{boxes.why_not()}, so no container was run: NOT tested"
)


def test_hadolint_finds_nothing() -> None:
    found = subprocess.run(
        [tool("hadolint"), "--no-color", "--failure-threshold", "style", str(DOCKERFILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.stdout + found.stderr, found.returncode) == ("", 0)


# ---- what it is made of


@pytest.mark.pure
def test_the_context_has_what_is_copied_and_nothing_else() -> None:
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert patterns[0] == "*"
    wanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    copied = copied_from_context(STAGES)
    assert sorted(wanted) == sorted(copied)
    assert [each for each in copied if not (ROOT / each).exists()] == []
    assert patterns[1 + len(wanted) :] == ["**/__pycache__", "**/*.so"]


@pytest.mark.slow
@pytest.mark.pure
def test_what_is_copied_is_enough_to_build_all_of_the_gateway(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for each in copied_from_context(STAGES[:1]):
        if (ROOT / each).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "*.so")
            shutil.copytree(ROOT / each, source / each, ignore=unwanted)
        else:
            shutil.copy(ROOT / each, source / each)
    there = {str(file.relative_to(source)) for file in source.rglob("*") if file.is_file()}
    build = f"from setuptools import build_meta; print(build_meta.build_wheel({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", build],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wheel = zipfile.ZipFile(tmp_path / done.stdout.split()[-1])
    packed = {name for name in wheel.namelist() if name.startswith("gateway/")}
    assert packed == {name for name in there if name.startswith("gateway/")}


# ---- who runs it


def test_nobody_runs_it_as_root() -> None:
    assert values(IMAGE, "USER") == [f"{boxes.USER}:{boxes.USER}"]
    after = IMAGE[[each.name for each in IMAGE].index("USER") :]
    assert {each.name for each in after}.isdisjoint({"RUN", "COPY", "ADD"})


def test_what_is_kept_is_in_the_volume_and_the_ports_are_those_of_the_configuration() -> None:
    config = read(CONFIG)
    [volume] = values(IMAGE, "VOLUME")
    listeners = config["listeners"]
    kept = [config["store"]["path"], config["request_log"]["path"]]
    assert all(
        each.startswith(f"{volume}/")
        for each in (*kept, listeners["admin"]["bind"].removeprefix("unix:"))
    )
    ports = [listeners[name]["bind"].rpartition(":")[2] for name in ("public", "metrics")]
    assert values(IMAGE, "EXPOSE") == [" ".join(ports)]


# ---- that it runs


def _here(words: Sequence[str]) -> list[str]:
    return [*NAMES_FOR_HERE[words[0]], *words[1:]]


def _folder(tmp_path: Path, **files: str) -> Path:
    """Lay everything out as it is mounted; `conf.d` as Kubernetes does it, where each change is a new folder."""
    for name in ("etc", "secrets", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "data").chmod(0o700)
    shutil.copy(CONFIG, tmp_path / "etc" / "config.yaml")
    (tmp_path / "secrets" / "pepper").write_text("0123456789abcdef" * 4)
    conf = tmp_path / "etc" / "conf.d"
    conf.mkdir()
    _mount(conf, "..1", files)
    for name in files:
        (conf / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")
    return tmp_path


def _mount(conf: Path, version: str, files: dict[str, str]) -> None:
    (conf / version).mkdir()
    for name, text in files.items():
        (conf / version / f"{name}.yaml").write_text(text)
    (conf / "..new").symlink_to(version)
    (conf / "..new").replace(conf / "..data")


@pytest.fixture
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Container]:
    workers = getattr(request, "param", 1)
    folder = _folder(tmp_path, demo=DEMO, size=f"workers: {workers}\n")
    with boxes.container(folder, _here(RUN)) as found:
        eventually(lambda: "serves on" in found.log.read_text() or found.process.poll() is not None)
        yield found


def _status(found: Container, path: str, key: str = "") -> str:
    """Ask the gateway from within; return the status."""
    ask = (
        "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 8080);"
        "c.request('GET', sys.argv[1], headers={'Authorization': 'Bearer ' + sys.argv[2]});"
        "print(c.getresponse().status)"
    )
    return found.execute(sys.executable, "-c", ask, path, key).strip()


def _tollhouse(found: Container, *arguments: str) -> str:
    return found.execute(*_here(["tollhouse", *arguments]))


@needs_namespaces
@pytest.mark.slow
@pytest.mark.parametrize("running", [1, 2], indirect=True, ids=["one process", "workers"])
def test_it_serves_without_rights_on_a_root_that_cannot_be_written(running: Container) -> None:
    running.execute("sh", "-c", "touch /file 2>/dev/null", status=1)
    _tollhouse(running, "tenants", "create", "--id", "demo", "--name", "Demo")
    key = _tollhouse(
        running, "keys", "create", "--tenant", "demo", "--name", "me", "--environment", "live",
        "--scope", "*", "--output", "json",
    )  # fmt: skip
    secret = key.partition('"secret": "')[2].partition('"')[0]
    assert _status(running, "/v1/whoami", secret) == "200"
    assert _status(running, "/v1/whoami", secret[:-1]) == "401"
    assert running.execute(*_here(HEALTHCHECK)) == ""
    assert running.stop() == 0
    assert running.log.read_text().splitlines()[-1].endswith('"stopped"}')


@needs_namespaces
@pytest.mark.slow
def test_a_changed_file_of_a_mounted_configuration_is_taken(
    running: Container, tmp_path: Path
) -> None:
    assert _status(running, "/new") == "404"
    more = DEMO + "  - {name: new, match: {path: /new}, handler: introspect}\n"
    _mount(tmp_path / "etc" / "conf.d", "..2", {"demo": more, "size": "workers: 1\n"})
    eventually(lambda: _status(running, "/new") == "401")


@needs_namespaces
@pytest.mark.slow
def test_the_health_check_fails_where_nothing_serves(tmp_path: Path) -> None:
    with boxes.container(_folder(tmp_path), ["sleep", "60"]) as found:
        said = found.execute("sh", "-c", '"$@" 2>&1', "check", *_here(HEALTHCHECK), status=1)
    assert "refused" in said
