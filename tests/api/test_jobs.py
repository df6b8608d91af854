"""Submitting, reading and ordering jobs about."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from core.catalogue.tables import Job, Schedule
from core.storage.blobs import Blobs
from tests.api.conftest import House

FIELDS = {
    "id", "kind", "state", "total", "done", "failed", "reached", "priority", "seed", "spec", "model", "after", "reason",
    "result", "rate", "eta_seconds", "workers", "device_seconds", "created_at", "started_at", "finished_at",
}  # fmt: skip


def generate(count: int = 640, **spec: Any) -> dict[str, Any]:
    return {"kind": "generate", "spec": {"letters": ["ab", "ї"], **spec}, "count": count}


def test_a_submitted_job_is_accepted_with_its_address_and_stands_there(api: TestClient, house: House) -> None:
    house.model(versions=3)
    answer = api.post("/v1/jobs", headers=house.keys["write"], json=generate() | {"seed": 7})
    job = answer.json()

    assert answer.status_code == 202
    assert set(job) == FIELDS
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["total"], job["done"], job["failed"], job["seed"]) == ("queued", 640, 0, 0, 7)
    assert api.get(answer.headers["location"], headers=house.keys["read"]).json() == job


def test_a_generate_job_is_tied_to_the_version_that_its_model_means_now(api: TestClient, house: House) -> None:
    first, *_ = house.model("plain", versions=2)
    house.model("named", versions=3, aliases={"production": 2, "best": 1})
    references = {"plain": "plain:2", "plain:1": "plain:1", "named": "named:2", "named@best": "named:1"}
    for asked, pinned in references.items():
        job = api.post("/v1/jobs", headers=house.keys["write"], json=generate(model=asked)).json()

        assert (job["model"], job["spec"]["model"]) == (pinned, pinned)
    with house.database.transaction() as session:
        pinned_ids = session.scalars(sa.select(Job.model_version_id)).all()

    assert first in pinned_ids


def test_the_spec_is_resolved_once_and_written_down(api: TestClient, house: House) -> None:
    house.model()
    mixed = api.post("/v1/jobs", headers=house.keys["write"], json=generate()).json()["spec"]
    one = api.post("/v1/jobs", headers=house.keys["write"], json=generate(letters=["ab", "cd"])).json()["spec"]

    assert mixed["letters"] == ["AB", "Ї"]
    assert (mixed["layout"], one["layout"]) == (None, "straight")


def test_ten_million_variants_are_two_rows_and_no_wait(api: TestClient, house: House) -> None:
    house.model()
    api.post("/v1/jobs", headers=house.keys["write"], json=generate())
    before, seconds = house.rows(), []
    for number in range(1, 6):
        begun = time.monotonic()
        answer = api.post("/v1/jobs", headers=house.keys["write"], json=generate(10_000_000))
        seconds.append(time.monotonic() - begun)

        assert answer.json()["total"] == 10_000_000
        assert house.rows() - before <= 3 * number
    assert min(seconds) < 0.2  # the others share their cores with whoever else works here


def test_a_training_waits_for_a_look_at_its_dataset(api: TestClient, house: House) -> None:
    body = {"kind": "train", "spec": {"dataset": "fonts", "minutes": 1}, "device": "gpu", "priority": "bulk"}
    training = api.post("/v1/jobs", headers=house.keys["write"], json=body).json()
    look = api.get(f"/v1/jobs/{training['after']}", headers=house.keys["read"]).json()

    assert (training["kind"], look["kind"]) == ("train", "dataset")
    assert (training["seed"], training["priority"], look["priority"]) == (125, "bulk", "bulk")
    assert look["spec"]["dataset"] == "fonts"
    assert uuid.UUID(look["spec"]["dataset_id"])
    with house.database.transaction() as session:
        queues = {job.kind: job.queues for job in session.scalars(sa.select(Job))}

    assert queues == {"train": ["gpu"], "dataset": ["cpu", "gpu"]}


def test_a_job_rings_both_queues_after_it_stands(api: TestClient, house: House, valkey: Any) -> None:
    api.post("/v1/jobs", headers=house.keys["write"], json={"kind": "null", "count": 1})
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not (valkey.llen("cpu") and valkey.llen("gpu")):
        time.sleep(0.02)

    assert (valkey.llen("cpu"), valkey.llen("gpu")) == (1, 1)


def test_a_refused_job_rings_nothing(api: TestClient, house: House, valkey: Any) -> None:
    api.post("/v1/jobs", headers=house.keys["write"], json={"kind": "null", "count": 0})
    time.sleep(0.2)

    assert valkey.llen("cpu") == 0


@pytest.mark.parametrize(
    "body", [{"kind": "null", "count": 9}, {"kind": "train", "spec": {"minutes": 1}}], ids=["null", "train"]
)
def test_equal_posts_with_one_key_in_parallel_make_one_job(served: str, house: House, body: dict[str, Any]) -> None:
    headers = house.keys["write"] | {"Idempotency-Key": "once"}
    with httpx2.Client(base_url=served, timeout=30) as client, ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/jobs", headers=headers, json=body), range(200)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    with house.database.transaction() as session:
        kinds = sorted(session.scalars(sa.select(Job.kind)))

    assert kinds == (["null"] if body["kind"] == "null" else ["dataset", "train"])


def test_a_key_used_again_with_another_body_is_refused_and_is_free_for_another_owner(
    api: TestClient, house: House
) -> None:
    key = {"Idempotency-Key": "once"}
    body = {"kind": "null", "count": 9}
    first = api.post("/v1/jobs", headers=house.keys["write"] | key, json=body)
    spelled_out = api.post("/v1/jobs", headers=house.keys["write"] | key, json=body | {"seed": 0, "device": "auto"})
    other = api.post("/v1/jobs", headers=house.keys["write"] | key, json=body | {"count": 10})
    rival = api.post("/v1/jobs", headers=house.keys["rival"] | key, json=body)

    assert spelled_out.json()["id"] == first.json()["id"]
    assert other.status_code == 422
    assert "'once'" in other.json()["detail"]
    assert rival.status_code == 202
    assert rival.json()["id"] != first.json()["id"]


def test_a_training_repeated_with_another_body_is_refused_by_the_key_that_was_given(
    api: TestClient, house: House
) -> None:
    key = house.keys["write"] | {"Idempotency-Key": "once"}
    body = {"kind": "train", "spec": {"minutes": 1}}
    api.post("/v1/jobs", headers=key, json=body)
    refused = api.post("/v1/jobs", headers=key, json={"kind": "train", "spec": {"minutes": 2}})

    assert refused.status_code == 422
    assert "'once'" in refused.json()["detail"]


def test_a_job_is_paused_resumed_cancelled_and_retried(api: TestClient, house: House) -> None:
    job = house.submit()
    states = []
    for verb in ("pause", "resume", "cancel", "retry"):
        answer = api.post(f"/v1/jobs/{job}/{verb}", headers=house.keys["write"])
        states.append((answer.status_code, answer.json()["state"]))

    assert states == [(200, "paused"), (200, "queued"), (200, "cancelled"), (200, "running")]


def test_an_order_that_its_state_does_not_allow_is_a_conflict_that_says_so(api: TestClient, house: House) -> None:
    job = house.submit()
    for verb in ("resume", "retry"):
        answer = api.post(f"/v1/jobs/{job}/{verb}", headers=house.keys["write"])

        assert answer.status_code == 409
        assert answer.json()["detail"] == f"cannot {verb} a job that is queued"
    assert api.delete(f"/v1/jobs/{job}", headers=house.keys["write"]).status_code == 409


def test_a_job_moves_to_another_class(api: TestClient, house: House) -> None:
    job = house.submit()
    answer = api.patch(f"/v1/jobs/{job}", headers=house.keys["write"], json={"priority": "interactive"})

    assert answer.json()["priority"] == "interactive"


def test_a_removed_job_takes_its_variants_and_pictures_with_it(api: TestClient, house: House) -> None:
    house.model()
    api.post("/v1/jobs", headers=house.keys["write"], json=generate(64))
    kept = house.submit()
    lease = house.make(house.slot())
    store = Blobs.open(house.settings.store_url)
    store.put(f"jobs/{lease.job_id}/0000000000-0000000064.9.tar", b"what a lost lease left")
    store.put(f"jobs/{kept}/0000000000-0000000064.1.tar", b"another job's")
    answer = api.delete(f"/v1/jobs/{lease.job_id}", headers=house.keys["write"])

    assert (answer.status_code, answer.content) == (204, b"")
    assert api.get(f"/v1/jobs/{lease.job_id}", headers=house.keys["read"]).status_code == 404
    assert api.get(f"/v1/variants/{lease.job_id}.0", headers=house.keys["read"]).status_code == 404
    assert list(store.keys("jobs")) == [f"jobs/{kept}/0000000000-0000000064.1.tar"]


def test_a_held_shard_shows_as_workers_rate_and_time_left(api: TestClient, house: House) -> None:
    job = house.submit(total=640, shard_size=64)
    slot, other = house.slot(), house.slot()
    house.make(slot)
    house.claim(slot)
    house.claim(other)
    house.set_state(job, seconds_per_item={"test": 0.5})
    shown = api.get(f"/v1/jobs/{job}", headers=house.keys["read"]).json()

    assert (shown["state"], shown["done"], shown["workers"], shown["rate"]) == ("running", 64, 2, 4.0)
    assert shown["eta_seconds"] == pytest.approx(144.0)


def test_jobs_are_listed_newest_first_page_by_page_with_filters(api: TestClient, house: House) -> None:
    made = [str(house.submit(kind=kind)) for kind in ("null", "dataset", "null", "null", "dataset")]
    api.post(f"/v1/jobs/{made[0]}/cancel", headers=house.keys["write"])
    walked, cursor = [], None
    while True:
        page = api.get(
            "/v1/jobs", headers=house.keys["read"], params={"limit": 2, **({"cursor": cursor} if cursor else {})}
        )
        walked += [item["id"] for item in page.json()["items"]]
        house.submit()  # what is new does not move what is being read
        cursor = page.json()["next"]
        if cursor is None:
            break
    of_kind = api.get("/v1/jobs?kind=dataset", headers=house.keys["read"]).json()["items"]
    cancelled = api.get("/v1/jobs?state=cancelled&state=failed", headers=house.keys["read"]).json()["items"]

    assert walked == made[::-1]
    assert [item["id"] for item in of_kind] == [made[4], made[1]]
    assert [item["id"] for item in cancelled] == [made[0]]


def test_a_schedule_is_kept_fired_by_hand_paused_and_deleted(api: TestClient, house: House) -> None:
    own = house.keys["write"]
    rule = {"name": "nightly", "cron": "0 3 * * *", "timezone": "Europe/Kyiv", "request": {"kind": "dataset"}}
    added = api.post("/v1/schedules", headers=own, json=rule)
    again = api.post("/v1/schedules", headers=own, json=rule)
    other = api.post("/v1/schedules", headers=own, json=rule | {"cron": "0 4 * * *"})
    run = api.post("/v1/schedules/nightly/run", headers=own)
    paused = api.post("/v1/schedules/nightly/pause", headers=own)

    assert (added.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json() == added.json()
    assert run.status_code == 202
    assert api.get(run.headers["location"], headers=own).json()["kind"] == "dataset"
    assert (paused.json()["paused"], paused.json()["last"]["job"]) == (True, run.json()["job"])
    assert paused.json()["next_due_at"] == added.json()["next_due_at"]
    assert api.delete("/v1/schedules/nightly", headers=own).status_code == 204
    assert api.get("/v1/schedules/nightly", headers=own).status_code == 404


def test_a_resumed_schedule_forgets_what_it_missed(api: TestClient, house: House) -> None:
    own = house.keys["write"]
    rule = {"name": "hourly", "cron": "0 * * * *", "request": {"kind": "dataset"}}
    due = api.post("/v1/schedules", headers=own, json=rule).json()["next_due_at"]
    api.post("/v1/schedules/hourly/pause", headers=own)
    with house.database.transaction() as session:
        session.execute(sa.update(Schedule).values(next_due_at=sa.text("clock_timestamp() - interval '3 days'")))
    resumed = api.post("/v1/schedules/hourly/resume", headers=own).json()

    assert (resumed["paused"], resumed["next_due_at"]) == (False, due)
