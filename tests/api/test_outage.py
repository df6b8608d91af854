"""The servers behind the API are away: it says so soon, and nothing that it acknowledged is lost."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from api.app import create_app
from core.catalogue.tables import Job
from core.settings import Settings
from tests.api.conftest import House
from tests.api.proxy import Wire

SOON = 5.0
NULL = {"kind": "null", "count": 1}
DOORS = ("/v1/jobs", "/v1/variants", "/v1/workers", "/v1/models", "/v1/datasets", "/v1/schedules", "/readyz")
JOB = "019a0000-0000-7000-8000-000000000000"


@pytest.fixture
def wire(house: House) -> Iterator[Wire]:
    """The wire to PostgreSQL that the API's settings name."""
    real = sa.make_url(house.settings.database_url.get_secret_value())
    with Wire(f"{real.query['host']}/.s.PGSQL.{real.query.get('port', 5432)}") as wire:
        yield wire


@pytest.fixture
def settings(house: House, wire: Wire) -> Settings:
    real = sa.make_url(house.settings.database_url.get_secret_value())
    over_wire = sa.URL.create(
        "postgresql", real.username, real.password, host="127.0.0.1", port=wire.port, database=real.database
    )
    url = over_wire.render_as_string(hide_password=False)
    return Settings(**{**house.settings.model_dump(), "database_url": url})


@pytest.fixture
def app(settings: Settings) -> object:
    return create_app(settings)


def test_a_database_that_is_gone_is_503_with_retry_after_and_back_is_back(
    api: TestClient, house: House, wire: Wire
) -> None:
    own = house.keys["admin"]
    assert api.get("/v1/jobs", headers=own).status_code == 200
    wire.cut()
    for path in (*DOORS, f"/v1/jobs/{JOB}/events", f"/v1/variants/{JOB}.0/image"):
        begun = time.monotonic()
        answer = api.get(path, headers=own)

        assert answer.status_code == 503, path
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["type"] == "urn:vyaz:problem:unavailable"
        assert time.monotonic() - begun < SOON
    assert api.post("/v1/jobs", headers=own, json=NULL).status_code == 503
    assert api.get("/livez").status_code == 200
    assert "vyaz_database_up 0.0" in api.get("/metrics").text
    wire.mend()
    assert api.post("/v1/jobs", headers=own, json=NULL).status_code == 202


def test_no_answer_tells_the_password_of_the_database(api: TestClient, house: House, wire: Wire) -> None:
    password = sa.make_url(house.settings.database_url.get_secret_value()).password
    wire.cut()

    assert password
    assert password not in api.get("/readyz").text


def test_a_database_that_is_stopped_is_503_for_everybody_and_the_process_lives(
    served: str, house: House, wire: Wire
) -> None:
    own = house.keys["write"]
    with httpx2.Client(base_url=served, timeout=20) as client:
        for _ in range(3):
            assert client.post("/v1/jobs", headers=own, json=NULL).status_code == 202
        wire.freeze()
        begun = time.monotonic()
        with ThreadPoolExecutor(60) as pool:
            asked = [pool.submit(client.post, "/v1/jobs", headers=own, json=NULL) for _ in range(60)]
            time.sleep(0.5)
            lives = client.get("/livez")
            lived_after = time.monotonic() - begun
            answers = [each.result() for each in asked]
        answered_after = time.monotonic() - begun
        wire.thaw()
        back = _until_accepted(client, own)

    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"2"}
    assert answered_after < SOON + 2.0
    assert lives.status_code == 200
    assert lived_after < 2.0
    assert back < 10.0


def test_what_was_acknowledged_stands(served: str, house: House, wire: Wire) -> None:
    own = house.keys["write"]
    acknowledged = []
    with httpx2.Client(base_url=served, timeout=20) as client, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(client.post, "/v1/jobs", headers=own, json=NULL) for _ in range(150)]
        time.sleep(0.25)
        wire.cut()
        for each in asked:
            answer = each.result()
            if answer.status_code == 202:
                acknowledged.append(answer.json()["id"])
            else:
                assert answer.status_code == 503
    with house.database.transaction() as session:
        stand = {str(job_id) for job_id in session.scalars(sa.select(Job.id))}

    assert 0 < len(acknowledged) < 150
    assert set(acknowledged) <= stand


FULL = """
CREATE FUNCTION run_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE disk_full; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON job DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION run_out();
"""


def test_a_job_whose_commit_fails_is_not_acknowledged_and_rings_nothing(
    api: TestClient, house: House, valkey: Any
) -> None:
    with house.database.transaction() as session:
        session.execute(sa.text(FULL))
    answer = api.post("/v1/jobs", headers=house.keys["write"], json=NULL)
    time.sleep(0.2)

    assert answer.status_code == 503
    assert valkey.llen("cpu") == 0


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_a_broker_that_is_away_costs_no_job_and_no_time(house: House, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # nobody ever accepts
        port = listener.getsockname()[1] if how == "silent" else 1
        settings = Settings(**{**house.settings.model_dump(), "broker_url": f"redis://127.0.0.1:{port}/0"})
        with TestClient(create_app(settings)) as api:
            seconds = []
            for _ in range(5):
                begun = time.monotonic()
                answer = api.post("/v1/jobs", headers=house.keys["write"], json=NULL)
                seconds.append(time.monotonic() - begun)

                assert answer.status_code == 202
            ready = api.get("/readyz")

    assert min(seconds) < 0.3
    assert (ready.status_code, ready.json()["degraded"]) == (200, ["broker"])


def test_a_body_that_does_not_come_is_waited_for_only_so_long(served: str, house: House) -> None:
    host, port = served.removeprefix("http://").split(":")
    key = house.keys["write"]["Authorization"]
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\nAuthorization: {key}\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(f'{head}Content-Type: application/json\r\nContent-Length: 40\r\n\r\n{{"kind"'.encode())
        begun = time.monotonic()
        answer = line.recv(4096).decode()

    assert answer.startswith("HTTP/1.1 408")
    assert time.monotonic() - begun < SOON + 1.0


def _until_accepted(client: httpx2.Client, headers: dict[str, str]) -> float:
    begun = time.monotonic()
    while client.post("/v1/jobs", headers=headers, json=NULL).status_code != 202:
        assert time.monotonic() - begun < 30
    return time.monotonic() - begun
