"""The chart: linted and rendered by Helm itself, and every manifest held against the schemas of Kubernetes.

Nothing is installed: that needs a cluster, which is not here.
"""

from __future__ import annotations

import re
import tomllib
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from gateway.config.load import load
from gateway.config.model import Config
from tests.deploy.chart import (
    ALONE,
    CHART,
    MADE,
    OURS,
    PEERS,
    SECRETS,
    VARIANTS,
    Manifest,
    config_of,
    kinds,
    one,
    pod_of,
    render,
)
from tests.deploy.dockerfile import stages, values
from tests.deploy.files import ROOT, blocks, can_share, read
from tests.deploy.tools import library

PAGE: Final = ROOT / "docs" / "how-to" / "run-on-kubernetes.md"
OLDEST: Final = "1.27"


@pytest.fixture(params=[*VARIANTS.values()], ids=[*VARIANTS])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(request.param)


# ---- that it is a chart


def test_helm_finds_nothing_worth_a_warning() -> None:
    found = library("helm_python").lint(str(CHART), OURS, strict=True, quiet=False)
    worst = [each for each in found["messages"] if each["severity"] > 1]
    assert (worst, found["errors"]) == ([], [])


def test_it_is_of_this_version() -> None:
    chart = read(CHART / "Chart.yaml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == chart["version"] == project["version"]


def test_kubernetes_knows_every_field(manifests: list[Manifest]) -> None:
    validate = library("kubernetes_validate")
    for each in manifests:
        if each["apiVersion"].startswith("monitoring.coreos.com/"):
            continue  # not of Kubernetes itself
        for version in (OLDEST, validate.latest_version()):
            validate.validate(each, version, strict=True)


def test_names_are_short_and_each_is_there_once() -> None:
    long = render(OURS, name="a-release-with-a-name-as-long-as-helm-allows-it-123")
    names = [(each["kind"], each["metadata"]["name"]) for each in long]
    assert len(set(names)) == len(names)
    assert max(len(name) for _, name in names) <= 63


# ---- how a pod runs


def test_pods_have_no_rights(manifests: list[Manifest]) -> None:
    pod = pod_of(manifests)
    [user] = values(stages(ROOT / "deploy" / "docker" / "Dockerfile")[-1], "USER")
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == user
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert one(manifests, "ServiceAccount")["automountServiceAccountToken"] is False
    for each in (*pod.get("initContainers", []), *pod["containers"]):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "privileged": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in each["resources"]["limits"]
        assert "cpu" in each["resources"]["requests"]


def test_what_is_mounted_is_there_and_where_the_configuration_looks(
    manifests: list[Manifest],
) -> None:
    pod, config = pod_of(manifests), config_of(manifests)
    [container] = pod["containers"]
    mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
    assert {each["name"] for each in mounts.values()} == {each["name"] for each in pod["volumes"]}
    assert [path for path, each in mounts.items() if not each.get("readOnly")] == [
        "/var/lib/tollhouse"
    ]
    kept = [config["store"]["path"], config["request_log"]["path"]]
    assert all(
        each.startswith("/var/lib/tollhouse/")
        for each in (*kept, config["listeners"]["admin"]["bind"].removeprefix("unix:"))
    )
    assert config["include"] == ["conf.d/*.yaml"]
    assert {"/etc/tollhouse/config.yaml", "/etc/tollhouse/conf.d", SECRETS} < set(mounts)


def test_liveness_is_no_readiness_and_draining_has_its_time(manifests: list[Manifest]) -> None:
    pod, public = pod_of(manifests), config_of(manifests)["listeners"]["public"]
    [container] = pod["containers"]
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "startup")}
    assert asked == {"liveness": "/livez", "startup": "/livez"}
    ready = container["readinessProbe"]
    assert ready["httpGet"]["path"] == "/readyz"
    delay, timeout = (
        int(public[f"drain_{name}"].removesuffix("s")) for name in ("delay", "timeout")
    )
    assert pod["terminationGracePeriodSeconds"] > delay + timeout
    assert delay > ready["periodSeconds"] * ready["failureThreshold"]


def test_ports_are_those_of_the_configuration(manifests: list[Manifest]) -> None:
    [container] = pod_of(manifests)["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    listeners = config_of(manifests)["listeners"]
    assert ports == {
        name: int(listeners[name]["bind"].rpartition(":")[2]) for name in ("public", "metrics")
    }
    for each in manifests:
        if each["kind"] == "Service":
            assert {port["targetPort"] for port in each["spec"]["ports"]} <= set(ports)


def test_whatever_selects_pods_selects_these(manifests: list[Manifest]) -> None:
    labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        each["spec"].get("selector") or each["spec"]["podSelector"]
        for each in manifests
        if each["kind"] in {"Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"}
    ]
    assert all(each.get("matchLabels", each).items() <= labels for each in selectors)


def test_a_changed_start_replaces_pods_and_changed_routes_do_not() -> None:
    def stamp(given: dict[str, Any]) -> str:
        template = one(render({**OURS, **given}), "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    usual = stamp({})
    assert stamp({"config": {"routes.yaml": "routes: []\nplans: {}\n"}}) == usual
    assert stamp({"workers": 2}) != usual


# ---- the configuration


def test_what_is_configured_arrives_as_it_was_written() -> None:
    given = VARIANTS["as somebody wants it"]
    assert one(render(given), "ConfigMap", "-conf")["data"] == given["config"]


def test_the_example_of_the_page_is_rendered_and_taken(tmp_path: Path) -> None:
    [text] = blocks(PAGE, "yaml")
    given = YAML(typ="safe").load(StringIO(text))
    config = _loaded({**given, "replicas": 1, "store": "sqlite"}, tmp_path)
    assert [route.name for route in config.routes] == ["jobs.read"]
    assert {"Ingress", "NetworkPolicy", "ServiceMonitor"} < kinds(render(given))


@pytest.mark.parametrize("given", [ALONE, {**OURS, "workers": 2}], ids=["sqlite", "postgresql"])
def test_the_gateway_takes_it(given: dict[str, Any], tmp_path: Path) -> None:
    if given is not ALONE and not can_share():
        pytest.skip("this build has no `store.url` and `limits.url`, so they are NOT tested")
    assert _loaded(given, tmp_path).workers == given.get("workers", 1)


def _loaded(given: dict[str, Any], tmp_path: Path) -> Config:
    """Load what is rendered, the secrets being in `tmp_path`."""
    found = render(given)
    for name, text in MADE.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "conf.d").mkdir()
    for name, text in one(found, "ConfigMap", "-conf")["data"].items():
        (tmp_path / "conf.d" / name).write_text(text)
    start = one(found, "ConfigMap", "tollhouse")["data"]["config.yaml"]
    (tmp_path / "config.yaml").write_text(start.replace(SECRETS, str(tmp_path)))
    return load(tmp_path / "config.yaml", {})


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (VARIANTS["a secret of its own"], set(MADE)),
        ({**ALONE, "secret": VARIANTS["a secret of its own"]["secret"]}, {"pepper"}),
    ],
    ids=["shared", "alone"],
)
def test_a_secret_has_what_is_read_and_no_more(given: dict[str, Any], wanted: set[str]) -> None:
    found = render(given)
    secret = one(found, "Secret")
    assert secret["stringData"] == {name: MADE[name] for name in wanted}
    start = one(found, "ConfigMap", "tollhouse")["data"]["config.yaml"]
    copied = [each["command"][-2] for each in pod_of(found).get("initContainers", [])]
    read_ = set(re.findall(rf"{SECRETS}/([a-z-]+)", " ".join([start, *copied])))
    assert read_ == wanted
    [mounted] = [each for each in pod_of(found)["volumes"] if "secret" in each]
    assert mounted["secret"]["secretName"] == secret["metadata"]["name"]


def test_a_pepper_is_rotated_by_naming_another_and_then_making_it_the_current_one(
    tmp_path: Path,
) -> None:
    values = {**MADE, "pepper-2": "fedcba9876543210" * 4}
    (tmp_path / "pepper-2").write_text(values["pepper-2"])
    secret = {"create": True, "values": values}
    given: dict[str, Any] = {**ALONE, "secret": secret, "peppers": {"keys": {"p2": "pepper-2"}}}
    before = _loaded(given, tmp_path)
    assert (before.peppers.current, set(before.peppers.keys)) == ("p1", {"p1", "p2"})
    given["peppers"] = {"current": "p2", "keys": {"p2": "pepper-2"}}
    assert config_of(render(given))["peppers"]["current"] == "p2"
    assert set(one(render(given), "Secret")["stringData"]) == {"pepper", "pepper-2"}


def test_the_dashboard_is_reached_by_forwarding_a_port_and_by_nobody_else(
    manifests: list[Manifest],
) -> None:
    host, _, port = config_of(manifests)["dashboard"]["bind"].rpartition(":")
    assert host == "127.0.0.1"
    assert f'port-forward deploy/{{{{ include "tollhouse.name" . }}}} {port}' in (
        CHART / "templates" / "NOTES.txt"
    ).read_text("utf-8")


def test_a_pod_is_known_by_its_own_name_and_finds_every_secret_of_the_secret(
    tmp_path: Path,
) -> None:
    config = "channels: {ops: {webhook: {url: 'https://hooks.example', secret: '${file:%s}'}}}"
    (tmp_path / "ops").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    given = {**ALONE, "config": {"alerts.yaml": config % f"{tmp_path}/ops"}}
    loaded = _loaded(given, tmp_path)
    assert loaded.cluster.node == ""  # the name of the host, which is the pod's
    assert set(loaded.channels) == {"ops"}


def test_no_secret_is_made_where_one_is_named() -> None:
    found = render(OURS)
    assert "Secret" not in kinds(found)
    [mounted] = [each for each in pod_of(found)["volumes"] if "secret" in each]
    assert mounted["secret"] == {"secretName": "mine", "defaultMode": 0o440}


# ---- what is there when


def test_one_pod_keeps_its_keys_in_a_volume_and_is_never_there_twice() -> None:
    found = render(ALONE)
    deployment = one(found, "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    claim = one(found, "PersistentVolumeClaim")["metadata"]
    assert claim["annotations"] == {"helm.sh/resource-policy": "keep"}
    [data] = [each for each in pod_of(found)["volumes"] if each["name"] == "data"]
    assert data["persistentVolumeClaim"] == {"claimName": claim["name"]}
    assert "PodDisruptionBudget" not in kinds(found)
    assert "limits" not in config_of(found)


def test_pods_that_share_sign_the_audit_trail_with_one_key() -> None:
    pod = pod_of(render(OURS))
    [copy] = pod["initContainers"]
    assert copy["command"][-2:] == [f"{SECRETS}/audit-key", "/var/lib/tollhouse/audit.key"]
    assert {each["name"] for each in copy["volumeMounts"]} == {"secrets", "data"}
    assert "initContainers" not in pod_of(render(ALONE))


def test_the_number_of_pods_is_left_to_the_autoscaler() -> None:
    found = render(VARIANTS["scaled"])
    scaler = one(found, "HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 40)
    assert scaler["scaleTargetRef"]["name"] == one(found, "Deployment")["metadata"]["name"]
    assert "replicas" not in one(found, "Deployment")["spec"]
    assert "HorizontalPodAutoscaler" not in kinds(render(OURS))


def test_few_pods_are_away_at_a_time() -> None:
    found = render(OURS)
    assert one(found, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    rolling = one(found, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxUnavailable": 0, "maxSurge": 1}
    assert "PodDisruptionBudget" not in kinds(render(VARIANTS["bare"]))


def test_only_the_two_ports_are_open_and_only_to_those_who_are_named() -> None:
    usual = one(render(OURS), "NetworkPolicy")["spec"]
    assert usual["policyTypes"] == ["Ingress"]
    public, metrics = usual["ingress"]
    assert (public["ports"][0]["port"], metrics["ports"][0]["port"]) == ("public", "metrics")
    assert "from" not in public
    assert metrics["from"] == [{"namespaceSelector": {}}]
    closed = one(render(VARIANTS["closed"]), "NetworkPolicy")["spec"]
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert [each["from"] for each in closed["ingress"]] == [PEERS, PEERS]
    names, given = closed["egress"]
    assert {each["port"] for each in names["ports"]} == {53}
    assert given == VARIANTS["closed"]["networkPolicy"]["egress"][0]
    assert "NetworkPolicy" not in kinds(render(VARIANTS["bare"]))


def test_metrics_are_scraped_and_not_published() -> None:
    found = render({**VARIANTS["published"], **VARIANTS["watched"]})
    wanted = one(found, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    watched = [
        each["metadata"]["name"]
        for each in found
        if each["kind"] == "Service" and wanted <= each["metadata"]["labels"].items()
    ]
    assert watched == ["edge-tollhouse-metrics"]
    assert one(found, "Service", "-metrics")["spec"]["clusterIP"] == "None"
    published = one(found, "Service", "tollhouse")
    assert [port["targetPort"] for port in published["spec"]["ports"]] == ["public"]
    assert published["spec"]["type"] == "LoadBalancer"
    assert published["spec"]["externalTrafficPolicy"] == "Local"
    assert one(found, "ServiceMonitor")["metadata"]["labels"]["release"] == "prometheus"


def test_an_ingress_takes_the_hosts_that_are_named() -> None:
    rules = one(render(VARIANTS["published"]), "Ingress")["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ["api.example.com", "api.example.org"]
    assert "Ingress" not in kinds(render(OURS))


# ---- what is refused


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "secret.existing"),
        ({**ALONE, "replicas": 2}, "one pod"),
        ({**ALONE, "autoscaling": {"enabled": True}}, "one pod"),
        ({**OURS, "autoscaling": {"enabled": True, "maxReplicas": 1}}, "maxReplicas"),
        ({**OURS, "ingress": {"enabled": True}}, "ingress.hosts"),
        ({"secret": {"create": True, "values": {"pepper": "x"}}}, "secret.values.audit-key"),
        ({**OURS, "peppers": {"current": "p9"}}, "peppers.current"),
        ({**OURS, "replica": 3}, "replica"),
        ({**OURS, "replicas": "3"}, "replicas"),
        ({**OURS, "store": "mysql"}, "store"),
        ({**OURS, "image": {"digest": "sha256:12"}}, "digest"),
        ({**OURS, "config": {"../x.yaml": ""}}, "../x.yaml"),
        ({**OURS, "config": {"routes.yaml": {"routes": []}}}, "config"),
        ({**OURS, "persistence": {"size": "5 GB"}}, "size"),
    ],
)
def test_what_cannot_work_is_refused_with_its_reason(given: dict[str, Any], why: str) -> None:
    with pytest.raises(library("helm_python").HelmError, match=re.escape(why)):
        render(given)
