"""The compose file and what it mounts. Nothing is started: that needs Docker, which is not here."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.signer import Signer
from gateway.config import model
from gateway.config.load import load
from gateway.domain.digest import Peppers
from tests.deploy.dockerfile import stages, values
from tests.deploy.files import GRAFANA, ROOT, RULES, can_share, read
from tests.deploy.tools import tool

COMPOSE = ROOT / "deploy" / "compose"
FILE = COMPOSE / "compose.yaml"
DOCKER = ROOT / "deploy" / "docker"
GATEWAYS = ("gateway-1", "gateway-2")
IMAGE = stages(DOCKER / "Dockerfile")[-1]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = read(FILE)["services"]
    return found


def test_it_is_what_the_compose_specification_allows() -> None:
    done = subprocess.run(
        [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(FILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_two_gateways_and_what_they_need_and_what_watches_them(services: dict[str, Any]) -> None:
    assert set(services) == {*GATEWAYS, "upstream", "postgres", "redis", "prometheus", "grafana"}


@pytest.mark.parametrize("name", [*GATEWAYS, "upstream"])
def test_ours_run_with_no_rights_on_a_root_that_cannot_be_written(
    services: dict[str, Any], name: str
) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service  # that of the image
    assert service["build"]["context"] == "../.."
    assert (COMPOSE / "../.." / service["build"]["dockerfile"]).is_file()


def test_nothing_is_published_beyond_this_machine(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert len(set(published)) == len(published)


def test_everything_is_bounded_and_comes_back(services: dict[str, Any]) -> None:
    assert [name for name, each in services.items() if "mem_limit" not in each] == []
    assert {each["restart"] for each in services.values()} == {"unless-stopped"}


def test_a_gateway_may_drain_before_it_is_killed(services: dict[str, Any]) -> None:
    public = read(DOCKER / "config.yaml")["listeners"]["public"]
    seconds = [int(public[name].removesuffix("s")) for name in ("drain_delay", "drain_timeout")]
    grace = {int(services[name]["stop_grace_period"].removesuffix("s")) for name in GATEWAYS}
    assert min(grace) > sum(seconds)


def test_gateways_wait_for_what_they_share_and_keep_what_is_theirs(
    services: dict[str, Any],
) -> None:
    [kept] = values(IMAGE, "VOLUME")
    for name in GATEWAYS:
        waits = services[name]["depends_on"]
        assert waits == {each: {"condition": "service_healthy"} for each in ("postgres", "redis")}
        assert f"{name}:{kept}" in services[name]["volumes"]
    assert all("healthcheck" in services[each] for each in ("postgres", "redis"))


def test_whatever_is_mounted_exists_and_can_only_be_read(services: dict[str, Any]) -> None:
    named = set(read(FILE)["volumes"])
    mounts = [mount.split(":") for each in services.values() for mount in each.get("volumes", [])]
    assert {source for source, *_ in mounts if not source.startswith(".")} == named
    files = [mount for mount in mounts if mount[0].startswith(".")]
    assert [source for source, *_ in files if not (COMPOSE / source).exists()] == []
    assert {tuple(how) for _, _, *how in files} == {("ro",)}


# ---- secrets


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of secrets, made by a copy of the script in a folder of its own."""
    folder = tmp_path_factory.mktemp("compose")
    _made(folder)
    return folder / "secrets"


def _made(folder: Path) -> None:
    shutil.copy(COMPOSE / "secrets.sh", folder)
    subprocess.run([str(folder / "secrets.sh")], check=True, capture_output=True, cwd="/")


def test_the_script_makes_every_secret_that_is_mounted(secrets: Path) -> None:
    declared = {name: entry["file"] for name, entry in read(FILE)["secrets"].items()}
    assert declared == {name: f"secrets/{name}" for name in declared}
    assert {file.name for file in secrets.iterdir()} == set(declared)
    used = {name for each in read(FILE)["services"].values() for name in each.get("secrets", [])}
    assert used == set(declared)


def test_nobody_else_can_reach_them_and_a_second_run_changes_none(secrets: Path) -> None:
    before = {file.name: file.read_bytes() for file in secrets.iterdir()}
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets.iterdir()} == {0o444}
    _made(secrets.parent)
    assert {file.name: file.read_bytes() for file in secrets.iterdir()} == before


def test_they_are_what_they_have_to_be(secrets: Path) -> None:
    Peppers("p1", {"p1": (secrets / "pepper").read_bytes()})
    Signer.of_pem((secrets / "audit-key").read_bytes())
    password = (secrets / "postgres-password").read_text()
    assert len(password) == 64
    assert f":{password}@postgres/tollhouse" in (secrets / "store-url").read_text()


@pytest.mark.pure
def test_git_does_not_take_them() -> None:
    assert "/deploy/compose/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


# ---- what is mounted


def test_the_demo_is_a_configuration_for_the_image(secrets: Path, tmp_path: Path) -> None:
    config = _config(secrets, tmp_path, "demo.yaml")
    assert [route.name for route in config.routes] == [
        "jobs.read", "jobs.write", "status", "whoami",
    ]  # fmt: skip
    assert str(config.upstreams["demo"].targets[0].url) == "http://upstream:9000"


def test_both_gateways_share_store_and_limits(secrets: Path, tmp_path: Path) -> None:
    if not can_share():
        pytest.skip("this build has no `store.url` and `limits.url`, so they are NOT tested")
    config: Any = _config(secrets, tmp_path, "demo.yaml", "shared.yaml")
    assert config.store.url.get_secret_value() == (secrets / "store-url").read_text()
    assert config.limits.url.get_secret_value() == (secrets / "limits-url").read_text()
    assert config.cluster.node == ""  # the name of the host, which compose.yaml gives each


def _config(secrets: Path, folder: Path, *included: str) -> model.Config:
    """Load the configuration of the image with files of conf.d, the secrets being where they were made."""
    (folder / "conf.d").mkdir(exist_ok=True)
    sources = {"config.yaml": DOCKER / "config.yaml"}
    sources |= {f"conf.d/{name}": COMPOSE / "conf.d" / name for name in included}
    for name, source in sources.items():
        text = source.read_text().replace("/run/secrets", str(secrets))
        (folder / name).write_text(text)
    return load(folder / "config.yaml", {})


def test_prometheus_watches_both_and_knows_the_rules(tmp_path: Path) -> None:
    config = read(COMPOSE / "prometheus.yaml")
    [job] = config["scrape_configs"]
    [targets] = job["static_configs"]
    assert targets["targets"] == [f"{name}:9100" for name in GATEWAYS]
    assert config["rule_files"] == [RULES.name]
    shutil.copy(COMPOSE / "prometheus.yaml", tmp_path)
    shutil.copy(RULES, tmp_path)
    done = subprocess.run(
        [tool("promtool"), "check", "config", str(tmp_path / "prometheus.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_its_source_and_our_dashboards(services: dict[str, Any]) -> None:
    [source] = read(COMPOSE / "grafana" / "datasource.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = read(COMPOSE / "grafana" / "dashboards.yaml")["providers"]
    mounts = dict(mount.split(":")[:2] for mount in services["grafana"]["volumes"])
    assert provider["options"]["path"] == mounts["../grafana"]
    assert list(GRAFANA.glob("*.json"))


def test_each_gateway_has_a_name_of_its_own_and_its_dashboard_on_this_machine(
    services: dict[str, Any],
) -> None:
    assert [services[name]["hostname"] for name in GATEWAYS] == list(GATEWAYS)
    shared = read(COMPOSE / "conf.d" / "shared.yaml")
    port = shared["dashboard"]["bind"].rpartition(":")[2]
    published = [each for name in GATEWAYS for each in services[name]["ports"]]
    dashboards = [each for each in published if each.endswith(f":{port}")]
    assert dashboards == ["127.0.0.1:9901:9901", "127.0.0.1:9902:9901"]
