"""Prometheus rules and the Grafana dashboard, held against what a real API exposes and against the runbook."""

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from tests.tree import ROOT, text

RULES = "deploy/prometheus/rules.yml"
CASES = "deploy/prometheus/rules_test.yml"
DASHBOARD = "deploy/grafana/vyaz.json"
RUNBOOK = "docs/operations.md"

ALERTS: list[dict[str, Any]] = [rule for group in yaml.safe_load(text(RULES))["groups"] for rule in group["rules"]]
TESTED: list[dict[str, Any]] = yaml.safe_load(text(CASES))["tests"]
BOARD: dict[str, Any] = json.loads(text(DASHBOARD))
AT_ONCE = ("VyazQuarantine", "VyazJobsFail")  # counters of ten minutes and more: waiting would only delay them


def expressions() -> list[str]:
    """Every PromQL expression of rules and dashboard."""
    panels = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", [])]
    return [rule["expr"] for rule in ALERTS] + panels


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """Every series that an expression names."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        return True

    promql_parser.walk(promql_parser.parse(expression), pre_visit=visit)
    return found


def anchors(page: str) -> set[str]:
    """The anchors that headings of a page make."""
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_rules_and_dashboard_name_only_what_a_scrape_exposes(exposed: dict[str, set[str]]) -> None:
    named = [selector for expression in expressions() for selector in selectors(expression)]

    assert len(named) > 50
    assert {selector.name for selector in named} - set(exposed) == set()
    for selector in named:
        filtered = {matcher.name for matcher in selector.matchers.matchers}
        assert filtered <= exposed[selector.name], selector


def test_every_gauge_of_ours_is_on_the_dashboard_or_in_a_rule(exposed: dict[str, set[str]]) -> None:
    named = {selector.name for expression in expressions() for selector in selectors(expression)}
    figures = {name for name in exposed if not re.search("_(count|sum|created)$", name)}

    assert figures - named == set()


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")

    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert "for" in rule or rule["alert"] in AT_ONCE
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert len(rule["annotations"]["description"]) > 60
    assert (page, anchor) == (RUNBOOK, rule["alert"].lower())
    assert anchor in anchors(RUNBOOK)


def test_a_lost_broker_wakes_nobody() -> None:
    (broker,) = (rule for rule in ALERTS if "vyaz_broker_up" in rule["expr"])

    assert broker["labels"]["severity"] == "warning"


def test_every_section_on_an_alert_is_of_an_alert_that_exists() -> None:
    sections = {anchor for anchor in anchors(RUNBOOK) if anchor.startswith("vyaz") and "-" not in anchor}

    assert sections == {rule["alert"].lower() for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_case_in_which_it_is_quiet_and_one_in_which_it_fires(rule: dict[str, Any]) -> None:
    looks = [look for case in TESTED for look in case["alert_rule_test"] if look["alertname"] == rule["alert"]]
    fed = {
        selectors(s["series"])[0].name for case in TESTED if case["name"] == rule["alert"] for s in case["input_series"]
    }

    assert {bool(look["exp_alerts"]) for look in looks} == {True, False}
    assert fed <= {selector.name for selector in selectors(rule["expr"])}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here; the other tests parse the rules")
def test_promtool_finds_that_every_alert_fires_when_it_should() -> None:
    for argv in (["check", "rules", RULES], ["test", "rules", CASES]):
        done = subprocess.run(["promtool", *argv], cwd=ROOT, capture_output=True, text=True, timeout=60)

        assert done.returncode == 0, done.stdout + done.stderr


def boxes() -> Iterator[tuple[str, int, int, int, int]]:
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        yield panel["title"], at["x"], at["y"], at["x"] + at["w"], at["y"] + at["h"]


def test_no_two_panels_share_an_id_or_a_place() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    overlaps = [
        (one[0], other[0])
        for one, other in itertools.combinations(boxes(), 2)
        if one[1] < other[3] and other[1] < one[3] and one[2] < other[4] and other[2] < one[4]
    ]

    assert len(set(ids)) == len(ids)
    assert overlaps == []
    assert all(left >= 0 and right <= 24 for _, left, _, right, _ in boxes())


def test_the_dashboard_asks_whichever_prometheus_its_reader_chooses() -> None:
    (variable,) = BOARD["templating"]["list"]
    asked = {panel["datasource"]["uid"] for panel in BOARD["panels"] if panel["type"] != "row"}
    asked |= {target["datasource"]["uid"] for panel in BOARD["panels"] for target in panel.get("targets", [])}

    assert BOARD["schemaVersion"] >= 39
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    assert asked == {f"${{{variable['name']}}}"}


def test_the_dashboard_begins_with_whether_all_is_well() -> None:
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]

    assert rows == ["Is it well?", "Throughput", "Fleet", "Ledger faults", "API"]
    assert [panel for panel in BOARD["panels"] if panel["type"] != "row" and not panel["title"]] == []
