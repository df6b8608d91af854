"""Liveness, readiness, figures, names of requests, and the description of it all."""

import json
import re
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from api.app import ROUTERS, create_app
from api.openapi import Api
from core.settings import Settings
from tests.api.conftest import House

CONTRACT = """
GET /livez
GET /readyz
GET /metrics
POST GET /v1/jobs
GET PATCH DELETE /v1/jobs/{job_id}
POST /v1/jobs/{job_id}/pause
POST /v1/jobs/{job_id}/resume
POST /v1/jobs/{job_id}/cancel
POST /v1/jobs/{job_id}/retry
GET /v1/jobs/{job_id}/events
GET /v1/jobs/{job_id}/image
GET /v1/jobs/{job_id}/audit
GET /v1/jobs/{job_id}/file
GET /v1/jobs/{job_id}/history
GET /v1/variants
GET /v1/variants/{variant_id}
GET /v1/variants/{variant_id}/image
GET /v1/variants/{variant_id}/recipe
GET /v1/models
GET /v1/models/{name}
POST /v1/models/{reference}/inversions
GET POST /v1/datasets
GET /v1/datasets/{name}
GET /v1/workers
GET POST /v1/keys
DELETE /v1/keys/{key_id}
GET /v1/owners
PUT /v1/owners/{name}
GET POST /v1/schedules
GET DELETE /v1/schedules/{name}
POST /v1/schedules/{name}/pause
POST /v1/schedules/{name}/resume
POST /v1/schedules/{name}/run
"""


def operations(description: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}


def gauge(text: str, name: str) -> float:
    line = next(line for line in text.splitlines() if line.startswith(name + " "))
    return float(line.rsplit(" ", 1)[1])


def test_the_process_lives_and_is_ready(api: TestClient) -> None:
    assert api.get("/livez").json() == {"status": "alive"}
    assert api.get("/readyz").json() == {"status": "ready", "schema_version": "0005", "degraded": []}


@pytest.mark.parametrize("change", ["UPDATE alembic_version SET version_num = '0000'", "DROP TABLE alembic_version"])
def test_another_schema_is_not_ready(api: TestClient, house: House, change: str) -> None:
    with house.database.transaction() as session:
        session.execute(sa.text(change))
    answer = api.get("/readyz")

    assert answer.status_code == 503
    assert "needs 0005" in answer.json()["detail"]


def test_the_gauges_follow_the_ledger(api: TestClient, house: House) -> None:
    house.submit(total=192, shard_size=64, spec={})
    slot = house.slot()
    house.make(slot)
    house.claim(slot)
    house.submit(kind="dataset")
    text = api.get("/metrics").text

    assert gauge(text, "vyaz_database_up") == 1
    assert gauge(text, 'vyaz_jobs{kind="null",state="running"}') == 1
    assert gauge(text, 'vyaz_jobs{kind="dataset",state="queued"}') == 1
    assert gauge(text, 'vyaz_items{kind="null",outcome="done"}') == 64
    assert gauge(text, 'vyaz_shards{state="leased"}') == 1
    assert gauge(text, 'vyaz_shards{state="returned"}') == 0
    assert gauge(text, 'vyaz_slots{device_class="test",queue="cpu",state="busy"}') == 1
    assert gauge(text, "vyaz_variants") == 0


def test_requests_are_counted_by_route_and_never_by_id(api: TestClient, house: House) -> None:
    job = house.submit()
    for _ in range(3):
        api.get(f"/v1/jobs/{job}", headers=house.keys["read"])
    api.get("/v1/nothing/here")
    text = api.get("/metrics").text

    assert gauge(text, 'vyaz_requests_total{method="GET",route="/v1/jobs/{job_id}",status="200"}') == 3
    assert gauge(text, 'vyaz_requests_total{method="GET",route="none",status="404"}') == 1
    assert str(job) not in text
    assert "nothing" not in text


def test_every_answer_carries_the_name_of_its_request(api: TestClient, house: House) -> None:
    given = api.get("/v1/jobs", headers=house.keys["read"] | {"X-Request-ID": "mine-1"})
    odd = api.get("/v1/nothing", headers={"X-Request-ID": "a b\tc"})

    assert given.headers["x-request-id"] == "mine-1"
    assert re.fullmatch(r"[0-9a-f]{32}", odd.headers["x-request-id"])
    assert odd.json()["request_id"] == odd.headers["x-request-id"]


def test_an_error_of_ours_is_a_problem_without_its_details(house: House) -> None:
    app = create_app(house.settings)
    with house.database.transaction() as session:
        session.execute(sa.text("ALTER TABLE model RENAME TO something_else"))
    with TestClient(app, raise_server_exceptions=False) as api:
        answer = api.get("/v1/models", headers=house.keys["read"] | {"X-Request-ID": "mine-2"})

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["request_id"], answer.headers["x-request-id"]) == ("mine-2", "mine-2")
    assert "model" not in answer.json()["detail"]


@pytest.mark.parametrize("as_json", [True, False])
def test_the_log_names_a_key_only_by_its_prefix(
    house: House, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    key = house.keys["read"]["Authorization"].removeprefix("Bearer ")
    with TestClient(create_app(Settings(**{**house.settings.model_dump(), "log_json": as_json}))) as api:
        api.get("/v1/jobs", headers=house.keys["read"])
        api.get(f"/v1/models/{key}", headers=house.keys["read"])
    written = capsys.readouterr().err

    assert written.count(key[:16]) >= 2
    assert key[17:] not in written


def test_the_description_names_exactly_the_routes_that_there_are(app: Api, api: TestClient) -> None:
    described = operations(api.get("/v1/openapi.json").json())
    routes = {(method, route.path) for part in ROUTERS for route in part.router.routes for method in route.methods}
    agreed = {(method, line.split()[-1]) for line in CONTRACT.strip().splitlines() for method in line.split()[:-1]}

    assert described == routes
    assert described == agreed


def test_every_route_tells_of_its_problems_and_its_success(app: Api) -> None:
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            failures = {status for status in operation["responses"] if status >= "400"}

            assert path.startswith(("/livez", "/readyz", "/metrics")) or {"401", "503"} <= failures, (method, path)
            assert operation["summary"]
            for status in failures:
                assert set(operation["responses"][status]["content"]) == {"application/problem+json"}, (method, path)


def test_every_reference_in_the_description_leads_somewhere(app: Api) -> None:
    text = json.dumps(app.openapi())
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', text))

    assert named <= set(app.openapi()["components"]["schemas"])
    assert "Problem" in named


def test_the_examples_are_requests_that_work(app: Api, api: TestClient, house: House) -> None:
    for name in ("letters", "judge-report"):
        house.model(name)
    tried = 0
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            examples = (
                [each["value"] for each in body.get("examples", {}).values()] + body["schema"].get("examples", [])
                if body
                else []
            )
            for example in examples:
                tried += 1
                answer = api.request(method, path, headers=house.keys["admin"], json=example)

                assert answer.status_code < 300, answer.text

    assert tried == 8


def test_there_is_no_api_without_a_database_named(house: House) -> None:
    from core.errors import Invalid

    with pytest.raises(Invalid, match="VYAZ_DATABASE_URL"):
        create_app(Settings(**{**house.settings.model_dump(), "database_url": ""}))
