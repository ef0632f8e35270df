"""What Helm makes of the chart, and the sets of values with which it is tried."""

from __future__ import annotations

from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML

from tests.deploy.files import ROOT
from tests.deploy.tools import library

CHART: Final = ROOT / "deploy" / "helm" / "tollhouse"
SECRETS: Final = "/run/secrets/tollhouse"
OURS: Final = {"secret": {"existing": "mine"}}
ALONE: Final = {**OURS, "store": "sqlite", "replicas": 1}
MADE: Final = {
    "pepper": "0123456789abcdef" * 4,
    "audit-key": "-----BEGIN PRIVATE KEY-----\nxyz\n-----END PRIVATE KEY-----\n",
    "store-url": "postgresql://tollhouse:hunter2@database/tollhouse",
    "limits-url": "redis://redis:6379/0",
}
PEERS: Final = [{"namespaceSelector": {"matchLabels": {"name": "edge"}}}]

Manifest = dict[str, Any]

VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "as it is": OURS,
    "one pod": ALONE,
    "a secret of its own": {"secret": {"create": True, "values": MADE}},
    "scaled": {**OURS, "autoscaling": {"enabled": True, "maxReplicas": 40}},
    "published": {
        **OURS,
        "service": {
            "type": "LoadBalancer",
            "annotations": {"a.example/b": "c"},
            "externalTrafficPolicy": "Local",
        },
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"a.example/b": "true"},
            "hosts": ["api.example.com", "api.example.org"],
            "tls": [{"secretName": "cert", "hosts": ["api.example.com"]}],
        },
    },
    "watched": {**OURS, "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "closed": {
        **OURS,
        "networkPolicy": {
            "public": PEERS,
            "metrics": PEERS,
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
        },
    },
    "as somebody wants it": {
        **OURS,
        "image": {"repository": "registry.example/tollhouse", "digest": f"sha256:{'ab' * 32}"},
        "imagePullSecrets": [{"name": "pull"}],
        "workers": 4,
        "config": {"a.yaml": "plans: {}\n", "b.yaml": 'routes: [] # "a: b"\n\nscopes: {}'},
        "podLabels": {"team": "api"},
        "podAnnotations": {"a.example/b": "c"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "edge", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "spread": False,
        "disruptionBudget": {"maxUnavailable": "25%"},
        "volumes": [{"name": "geo", "configMap": {"name": "countries"}}],
        "volumeMounts": [{"name": "geo", "mountPath": "/var/geo", "readOnly": True}],
    },
    "bare": {
        **OURS,
        "networkPolicy": {"enabled": False},
        "disruptionBudget": {"enabled": False},
    },
}


def render(given: dict[str, Any], name: str = "edge") -> list[Manifest]:
    """Return the manifests that Helm makes of the chart."""
    chart = library("helm_python").Chart.load(str(CHART))
    chart.validate_schema(given)
    files = chart.render(given, name=name, namespace="gateways")
    return [
        document
        for file, text in files.items()
        if not file.endswith("NOTES.txt")
        for document in YAML(typ="safe").load_all(StringIO(text))
        if document is not None
    ]


def one(manifests: list[Manifest], kind: str, ending: str = "") -> Manifest:
    """Return the only one of its kind whose name ends so."""
    [found] = [
        each
        for each in manifests
        if each["kind"] == kind and each["metadata"]["name"].endswith(ending)
    ]
    return found


def kinds(manifests: list[Manifest]) -> set[str]:
    """Return of which kinds there are some."""
    return {each["kind"] for each in manifests}


def pod_of(manifests: list[Manifest]) -> Manifest:
    """Return what the pods of the deployment are made of."""
    found: Manifest = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return found


def config_of(manifests: list[Manifest]) -> Manifest:
    """Return the configuration of the start, not of conf.d."""
    text = one(manifests, "ConfigMap", "tollhouse")["data"]["config.yaml"]
    found: Manifest = YAML(typ="safe").load(StringIO(text))
    return found
