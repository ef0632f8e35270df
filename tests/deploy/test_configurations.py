"""Every configuration that is shipped is one that `tollhouse check` has nothing to say about."""

from __future__ import annotations

import configparser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.cli.check import check
from gateway.config.load import load
from gateway.config.model import Config, split_bind
from tests.deploy.chart import ALONE, OURS, SECRETS, one, render
from tests.deploy.files import ROOT, blocks

DEPLOY = ROOT / "deploy"
SYSTEMD_PAGE = ROOT / "docs" / "how-to" / "run-under-systemd.md"
CREDENTIALS = "/run/credentials/tollhouse.service"
MOUNTED = {
    "pepper": "0123456789abcdef" * 4,
    "store-url": "postgresql://tollhouse:hunter2@postgres/tollhouse",
    "limits-url": "rediss://limits:hunter2@redis:6379/0",
}
"""What the files hold that the configurations name."""


def checked(folder: Path, files: dict[str, str], *secrets: str) -> Config:
    """Let the command judge what is laid out in `folder`; return what it accepted."""
    (folder / "secrets").mkdir()
    for name, text in MOUNTED.items():
        (folder / "secrets" / name).write_text(text)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        for place in secrets:
            text = text.replace(place, str(folder / "secrets"))
        path.write_text(text)
    out, err = StringIO(), StringIO()
    status = check(folder / "config.yaml", {}, out=out, err=err)
    assert (status, out.getvalue()) == (0, "")
    return load(folder / "config.yaml", {})


@pytest.mark.parametrize("included", [(), ("demo",), ("demo", "shared")], ids="+".join)
def test_that_of_the_image_alone_and_with_what_compose_mounts(
    included: tuple[str, ...], tmp_path: Path
) -> None:
    files = {"config.yaml": (DEPLOY / "docker" / "config.yaml").read_text()}
    for name in included:
        files[f"conf.d/{name}.yaml"] = (DEPLOY / "compose" / "conf.d" / f"{name}.yaml").read_text()
    checked(tmp_path, files, "/run/secrets")


@pytest.mark.parametrize("given", [OURS, ALONE], ids=["postgresql", "sqlite"])
def test_that_of_the_chart(given: dict[str, Any], tmp_path: Path) -> None:
    start = one(render(given), "ConfigMap", "tollhouse")["data"]["config.yaml"]
    checked(tmp_path, {"config.yaml": start}, SECRETS)


def test_that_of_systemd_keeps_everything_where_the_unit_lets_it_write(tmp_path: Path) -> None:
    [text] = blocks(SYSTEMD_PAGE, "yaml")
    config = checked(tmp_path, {"config.yaml": f"version: 1\n{text}"}, CREDENTIALS)
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd" / "tollhouse.service")
    folders = {
        root: f"{root}/{unit['Service'][name]}/"
        for root, name in {
            "/var/lib": "StateDirectory",
            "/run": "RuntimeDirectory",
            "/var/log": "LogsDirectory",
        }.items()
    }
    written = {
        "/var/lib": [config.store.path, config.request_log.path],
        "/run": [split_bind(config.listeners.admin.bind)[0]],
        "/var/log": [config.telemetry.access_log.path],
    }
    for root, paths in written.items():
        assert [path for path in paths if not str(path).startswith(folders[root])] == []
    name, source = unit["Service"]["LoadCredential"].split(":")
    assert f"{CREDENTIALS}/{name}" in text
    assert source in SYSTEMD_PAGE.read_text("utf-8")


def test_the_address_of_the_unit_is_that_of_the_configuration(tmp_path: Path) -> None:
    [text] = blocks(SYSTEMD_PAGE, "yaml")
    config = checked(tmp_path, {"config.yaml": f"version: 1\n{text}"}, CREDENTIALS)
    socket = configparser.ConfigParser(strict=False, interpolation=None)
    socket.read(DEPLOY / "systemd" / "tollhouse.socket")
    assert socket["Socket"]["ListenStream"] == config.listeners.public.bind


def test_whatever_can_be_configured_is_installed_in_the_image() -> None:
    """Each optional part that a setting asks for is an extra of the image, unless it is a tool."""
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    extras = text.partition("ARG EXTRAS=")[2].split()[0].split(",")
    project = (ROOT / "pyproject.toml").read_text()
    section = project.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    names = {line.partition(" =")[0] for line in section.splitlines() if " = [" in line}
    assert set(extras) == {name for name in names if not name.startswith(("test", "profile"))}


def test_every_shipped_configuration_is_yaml_without_a_key_that_stands_twice() -> None:
    shipped = [*DEPLOY.rglob("*.yaml")]
    plain = [path for path in shipped if "templates" not in path.parts]
    assert plain
    for path in plain:
        YAML(typ="safe").load(StringIO(path.read_text("utf-8")))
