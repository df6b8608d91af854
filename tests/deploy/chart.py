"""The chart rendered by Helm itself, of the least values that it takes and of many."""

from typing import Any

import helm_python
import yaml

from tests.tree import ROOT

CHART = ROOT / "deploy/helm/vyaz"
LEAST: dict[str, Any] = {"existingSecret": "vyaz-urls", "storeUrl": "s3://letters/vyaz"}
FULL: dict[str, Any] = {
    **LEAST,
    "image": {"registry": "registry.example/team/", "tag": "1.2.3"},
    "imagePullSecrets": [{"name": "pull"}],
    "settings": {"VYAZ_LOG_LEVEL": "debug", "VYAZ_LEASE_SECONDS": 12},
    "podAnnotations": {"example/annotation": "yes"},
    "api": {
        "replicas": 3,
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "host": "vyaz.example",
            "tlsSecret": "vyaz-tls",
            "annotations": {"example/size": "64m"},
        },
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
    },
    "beat": {"replicas": 2, "tolerations": [{"key": "infra", "operator": "Exists"}]},
    "workers": {
        "gpu": {"enabled": True, "runtimeClassName": "nvidia", "nodeSelector": {"gpu": "h200"}},
        "cpu-small": {
            "enabled": True,
            "queue": "cpu",
            "device": "cpu",
            "threads": 1,
            "replicas": 2,
            "terminationGracePeriodSeconds": 30,
            "resources": {"limits": {"memory": "3Gi"}},
            "scaling": {"min": 0, "max": 50, "shardsPerSlot": 3},
        },
    },
    "keda": {"enabled": True},
    "networkPolicy": {
        "apiFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "egress": [{"ports": [{"port": 5432}, {"port": 6379}, {"port": 53, "protocol": "UDP"}]}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "runbookBase": "https://wiki.example/vyaz/"},
    "dashboard": {"enabled": True},
}


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Every object that the chart makes of these values."""
    with helm_python.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name="demo", namespace="letters")
    return [
        found
        for name, manifest in files.items()
        if name.endswith(".yaml")
        for found in yaml.safe_load_all(manifest)
        if found
    ]
