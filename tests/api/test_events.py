"""Server-sent events of a job, over a real socket."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import fastapi.routing
import httpx2
import pytest
import sqlalchemy as sa

from api.routes.events import LOOK_SECONDS
from core.catalogue.tables import Job
from tests.api.conftest import House

Event = tuple[str, dict[str, Any]]


@pytest.fixture
def client(served: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=served, timeout=15) as client:
        yield client


def events(client: httpx2.Client, house: House, job: object, key: str = "read", **headers: str) -> Iterator[Event]:
    with client.sse(f"/v1/jobs/{job}/events", headers=house.keys[key] | headers) as source:
        assert source.response.status_code == 200
        for event in source:
            yield event.event, event.json()


def finished_streams(client: httpx2.Client) -> float:
    told = 'vyaz_requests_total{method="GET",route="/v1/jobs/{job_id}/events",status="200"} '
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(told)]
    return float(lines[0].removeprefix(told)) if lines else 0.0


def order(client: httpx2.Client, house: House, job: object, verb: str) -> None:
    assert client.post(f"/v1/jobs/{job}/{verb}", headers=house.keys["write"]).status_code == 200


def test_a_stream_tells_where_a_job_stands_each_change_and_the_end(client: httpx2.Client, house: House) -> None:
    job = house.submit()
    stream = events(client, house, job)
    first = next(stream)
    house.set_state(job, done=7)
    second = next(stream)
    order(client, house, job, "cancel")
    rest = list(stream)

    assert (first[0], first[1]["state"], first[1]["done"]) == ("progress", "queued", 0)
    assert (second[0], second[1]["done"]) == ("progress", 7)
    assert [(name, data["state"]) for name, data in rest] == [("progress", "cancelled"), ("end", "cancelled")]
    assert first[1] == client.get(f"/v1/jobs/{job}", headers=house.keys["read"]).json() | first[1]


def test_changes_are_told_at_most_once_a_second(client: httpx2.Client, house: House) -> None:
    job = house.submit(total=1000)
    stop = threading.Event()

    def hurry() -> None:
        done = 0
        while not stop.is_set():
            house.set_state(job, done=(done := done + 1))

    thread = threading.Thread(target=hurry)
    thread.start()
    begun = time.monotonic()
    stream = events(client, house, job)
    told = [next(stream) for _ in range(4)]
    seconds = time.monotonic() - begun
    stop.set()
    thread.join()

    assert len({data["done"] for _, data in told}) == 4
    assert seconds >= 2.9


def test_the_stream_of_a_finished_job_ends_at_once_whatever_the_client_saw_last(
    client: httpx2.Client, house: House
) -> None:
    job = house.submit()
    order(client, house, job, "cancel")
    for last in ("", "7", "nonsense"):
        told = list(events(client, house, job, **{"Last-Event-ID": last}))

        assert [name for name, _ in told] == ["progress", "end"]


def test_a_stream_that_cannot_be_is_a_problem_and_no_stream(client: httpx2.Client, house: House) -> None:
    job = house.submit()
    theirs = client.get(f"/v1/jobs/{job}/events", headers=house.keys["rival"])
    nobody = client.get(f"/v1/jobs/{job}/events")

    assert (theirs.status_code, nobody.status_code) == (404, 401)
    assert theirs.headers["content-type"] == "application/problem+json"


def test_a_quiet_stream_is_kept_alive_and_says_nothing_twice(
    client: httpx2.Client, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastapi.routing, "_PING_INTERVAL", 0.3)
    lines: list[str] = []
    with client.stream("GET", f"/v1/jobs/{house.submit()}/events", headers=house.keys["read"]) as answer:
        for line in answer.iter_lines():
            lines.append(line)
            if lines.count(": ping") == 8:  # more than two looks
                break

    assert lines.count("event: progress") == 1


def test_the_server_stops_looking_when_the_client_leaves(client: httpx2.Client, house: House) -> None:
    stream = events(client, house, house.submit())
    next(stream)
    before = finished_streams(client)
    stream.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 5
    while finished_streams(client) == before and time.monotonic() < deadline:
        time.sleep(0.1)

    assert (before, finished_streams(client)) == (0.0, 1.0)


def test_many_who_watch_a_slow_database_keep_nobody_else_waiting(served: str, house: House) -> None:
    job = house.submit()
    limits = httpx2.Limits(max_connections=100)
    with httpx2.Client(base_url=served, timeout=15, limits=limits) as client, ExitStack() as held:
        for _ in range(60):
            stream = events(client, house, job)
            held.callback(stream.close)  # type: ignore[attr-defined]
            next(stream)
        session = held.enter_context(house.database.transaction())
        session.execute(sa.text("LOCK TABLE shard"))  # every look at an unfinished job now waits
        time.sleep(2 * LOOK_SECONDS)
        begun = time.monotonic()
        answer = client.get("/v1/models", headers=house.keys["read"])
        seconds = time.monotonic() - begun

    assert answer.status_code == 200
    assert seconds < 3.0


def test_a_revoked_key_sees_no_more_of_a_stream(client: httpx2.Client, house: House) -> None:
    admin = house.keys["admin"]
    made = client.post("/v1/keys", headers=admin, json={"scope": "read"}).json()
    house.keys["lent"] = {"Authorization": f"Bearer {made['key']}"}
    stream = events(client, house, house.submit(), "lent")
    next(stream)
    assert client.delete(f"/v1/keys/{made['id']}", headers=admin).status_code == 204

    assert list(stream) == [("end", {"reason": "this key is unknown or revoked"})]


def test_a_stream_ends_when_its_job_is_removed(client: httpx2.Client, house: House) -> None:
    job = house.submit()
    stream = events(client, house, job)
    next(stream)
    with house.database.transaction() as session:
        session.delete(session.get_one(Job, job))

    assert list(stream) == [("end", {"reason": f"there is no job {job}"})]
