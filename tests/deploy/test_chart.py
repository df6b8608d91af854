"""The Helm chart: it lints, renders, is valid for Kubernetes, and starts what compose starts."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from core.settings import Settings
from tests.deploy.chart import CHART, FULL, LEAST, rendered
from tests.tree import ROOT, text

KUBERNETES = ("1.30", "1.37")
VALUES = {"least": LEAST, "full": FULL}
CRDS = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule"}


def find(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, f"demo-vyaz-{name}"))
    return found


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods that the objects start, by the last word of their names."""
    for each in objects:
        if each["kind"] in {"Deployment", "Job"}:
            yield each["metadata"]["name"].removeprefix("demo-vyaz-"), each["spec"]["template"]["spec"]


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    assert isinstance(only, dict)
    return only


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(pod)["env"]}


def compose(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text("docker-compose.yml"))["services"][name]
    return found


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_chart_lints(values: dict[str, Any]) -> None:
    report = helm_python.lint(str(CHART), values, strict=True)
    found = [message for message in report["messages"] if message["severity"] > 1]

    assert (report["errors"], found) == ([], [])


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_every_object_is_one_that_kubernetes_knows(values: dict[str, Any], version: str) -> None:
    checked = [each for each in rendered(values) if each["kind"] not in CRDS]
    for each in checked:
        kubernetes_validate.validate(each, version, strict=True)

    assert len(checked) > 7


def test_the_full_chart_makes_every_kind_once_for_each_part() -> None:
    kinds = [each["kind"] for each in rendered(FULL)]

    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "Deployment": 5,
        "Service": 1,
        "Ingress": 1,
        "Job": 1,
        "PodDisruptionBudget": 4,
        "NetworkPolicy": 2,
        "ScaledObject": 3,
        "TriggerAuthentication": 1,
        "ServiceMonitor": 1,
        "PrometheusRule": 1,
        "ConfigMap": 1,
    }
    assert {each["kind"] for each in rendered(LEAST)} & CRDS == set()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"existingSecret": ""}, "existingSecret"),
        ({"storeUrl": "file:///var/lib/vyaz/store"}, "storeUrl"),
        ({"settings": {"VYAZ_DATABASE_URL": "postgresql://me:secret@host/vyaz"}}, "VYAZ_DATABASE_URL"),
        ({"workers": {"cpu": {"queue": "disk"}}}, "queue"),
        ({"workers": {"cpu": {"terminationGracePeriodSeconds": 5}}}, "terminationGracePeriodSeconds"),
        ({"api": {"ingress": {"enabled": True}}}, "host"),
        ({"replicas": 3}, "replicas"),
    ],
)
def test_values_that_would_not_work_are_refused_by_name(change: dict[str, Any], word: str) -> None:
    with helm_python.Chart.load(str(CHART)) as chart, pytest.raises(helm_python.HelmError, match=word):
        chart.validate_schema({**LEAST, **change})


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_every_container_is_an_ordinary_user_without_rights_on_a_system_that_it_cannot_write(
    values: dict[str, Any],
) -> None:
    for name, pod in pods(rendered(values)):
        held, mounts = container(pod)["securityContext"], {m["mountPath"] for m in container(pod)["volumeMounts"]}

        assert held["capabilities"] == {"drop": ["ALL"]}, name
        assert (held["allowPrivilegeEscalation"], held["readOnlyRootFilesystem"]) == (False, True), name
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001), name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert mounts == {"/tmp", "/var/lib/vyaz"}, name
        assert container(pod)["resources"]["limits"]["memory"], name


def test_the_user_is_the_one_of_the_images() -> None:
    assert "USER 10001:10001" in text("Dockerfile")


@pytest.mark.parametrize("name", ["api", "beat", "worker-cpu", "worker-gpu", "migrate"])
def test_a_pod_runs_what_compose_runs(name: str) -> None:
    pod, service = dict(pods(rendered(FULL)))[name], compose(name)
    wanted = {key: value for key, value in service["environment"].items() if not re.search("_URL$|THREADS$", key)}

    assert container(pod)["command"] == service["command"]
    assert container(pod)["image"] == f"registry.example/team/{service['image']}:1.2.3"
    assert wanted.items() <= environment(pod).items()
    if name != "migrate":
        assert pod["terminationGracePeriodSeconds"] >= int(service["stop_grace_period"].removesuffix("s"))


def test_secrets_come_by_reference_only_and_settings_as_they_stand() -> None:
    for name, pod in pods(rendered(FULL)):
        assert container(pod)["envFrom"] == [{"secretRef": {"name": "vyaz-urls"}}], name
        assert environment(pod)["VYAZ_STORE_URL"] == "s3://letters/vyaz", name
        Settings(**{key.removeprefix("VYAZ_").lower(): value for key, value in environment(pod).items()})
    assert environment(dict(pods(rendered(FULL)))["api"])["VYAZ_LEASE_SECONDS"] == "12"
    assert not any(each["kind"] == "Secret" for each in rendered(FULL))


def test_the_chart_is_of_this_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["appVersion"] == tomllib.loads(text("pyproject.toml"))["project"]["version"]
    assert container(dict(pods(rendered(LEAST)))["api"])["image"] == f"vyaz-api:{chart['appVersion']}"


def test_the_api_is_asked_at_paths_that_it_serves_and_its_life_hangs_on_nothing_else() -> None:
    api = container(dict(pods(rendered(LEAST)))["api"])

    assert api["livenessProbe"]["httpGet"]["path"] == api["startupProbe"]["httpGet"]["path"] == "/livez"
    assert api["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize(("name", "what"), [("beat", "beat"), ("worker-cpu", "slot"), ("worker-gpu", "slot")])
def test_a_process_without_http_is_asked_as_compose_asks_it(name: str, what: str) -> None:
    asked = container(dict(pods(rendered(FULL)))[name])["startupProbe"]["exec"]["command"]

    assert ["CMD", *asked] == compose(name)["healthcheck"]["test"]
    assert asked[-1] == what


def alive(database_url: str) -> subprocess.CompletedProcess[str]:
    """The liveness probe of a worker, in an environment in which no slot is registered."""
    command = container(dict(pods(rendered(LEAST)))["worker-cpu"])["livenessProbe"]["exec"]["command"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    values = {"PATH": path, "PYTHONPATH": str(ROOT), "VYAZ_DATABASE_URL": database_url}
    return subprocess.run(command, env=values, capture_output=True, text=True, timeout=60)


def test_a_worker_is_started_anew_when_it_is_silent_but_not_when_the_database_is(database_url: str) -> None:
    silent, away = alive(database_url), alive("postgresql://vyaz@127.0.0.1:1/vyaz")

    assert (silent.returncode, silent.stdout.strip()) == (1, "no sign of slot for 15 s")
    assert (away.returncode, "the database is away" in away.stdout) == (0, True)


def test_rules_and_dashboard_are_those_of_the_tree() -> None:
    (rule,) = (each for each in rendered(FULL) if each["kind"] == "PrometheusRule")
    (board,) = (each for each in rendered(FULL) if each["kind"] == "ConfigMap")
    moved = text("deploy/prometheus/rules.yml").replace("url: docs/", "url: https://wiki.example/vyaz/docs/")

    assert rule["spec"] == yaml.safe_load(moved)
    assert board["data"]["vyaz.json"] == text("deploy/grafana/vyaz.json")


def test_migration_comes_before_everything_and_the_metrics_stay_inside() -> None:
    objects = rendered(FULL)
    (ingress,) = (each for each in objects if each["kind"] == "Ingress")

    assert find(objects, "Job", "migrate")["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert [path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]] == ["/v1"]


def test_every_selector_chooses_the_pods_of_its_part_and_no_others() -> None:
    objects = rendered(FULL)
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in objects
        if each["kind"] in {"Deployment", "Job"}
    }
    for each in objects:
        if each["kind"] not in {"Deployment", "PodDisruptionBudget", "Service"}:
            continue
        chosen = each["spec"]["selector"]
        chosen = chosen.get("matchLabels", chosen)
        assert [name for name, held in labels.items() if chosen.items() <= held.items()] == [each["metadata"]["name"]]


def test_prometheus_finds_the_service_of_the_api() -> None:
    objects = rendered(FULL)
    (monitor,) = (each for each in objects if each["kind"] == "ServiceMonitor")
    service = find(objects, "Service", "api")
    (endpoint,) = monitor["spec"]["endpoints"]

    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_gpu_workers_go_down_to_none_and_replicas_are_left_to_keda() -> None:
    objects = rendered(FULL)
    scaled = find(objects, "ScaledObject", "worker-gpu")["spec"]

    assert (scaled["minReplicaCount"], scaled["scaleTargetRef"]) == (0, {"name": "demo-vyaz-worker-gpu"})
    assert "replicas" not in find(objects, "Deployment", "worker-gpu")["spec"]
    assert find(rendered(LEAST), "Deployment", "worker-cpu")["spec"]["replicas"] == 1
    (trigger,) = scaled["triggers"]
    assert (trigger["type"], trigger["metadata"]["targetQueryValue"]) == ("postgresql", "1")
    asked = find(objects, "TriggerAuthentication", "postgres")["spec"]["secretTargetRef"]
    assert asked == [{"parameter": "connection", "name": "vyaz-urls", "key": "VYAZ_DATABASE_URL"}]
