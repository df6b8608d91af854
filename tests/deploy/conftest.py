"""What the rules, the dashboard and the runbook are held against: an API over a ledger in which work is done."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from tests.api.conftest import House
from tests.api.conftest import api as api
from tests.api.conftest import app as app
from tests.api.conftest import house as house
from tests.worker.conftest import fleet as fleet


@pytest.fixture
def exposed(api: TestClient, house: House) -> dict[str, set[str]]:
    """Every sample of a scrape of an instance that works, with the labels it has."""
    house.submit(total=128, shard_size=64, spec={})
    slot = house.slot()
    house.make(slot)
    house.claim(slot)
    api.get("/v1/jobs", headers=house.keys["read"])
    answer = api.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found
