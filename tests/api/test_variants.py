"""Variants and their pictures, models, datasets, workers, owners."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from core.catalogue.tables import Shard, Variant
from tests.api.conftest import House


@pytest.fixture
def jobs(house: House, api: TestClient) -> list[str]:
    """Two finished jobs of 64 variants each, AB and C in turn, with two models; the older one first."""
    house.model("letters")
    house.model("other")
    made = []
    for model in ("letters", "other"):
        body = {"kind": "generate", "spec": {"letters": ["AB", "C"], "model": model}, "count": 64}
        made.append(api.post("/v1/jobs", headers=house.keys["write"], json=body).json()["id"])
        house.make(house.slot())
    return made


def listed(api: TestClient, house: House, **query: Any) -> list[dict[str, Any]]:
    items, cursor = [], None
    while True:
        params = query | ({"cursor": cursor} if cursor else {})
        page = api.get("/v1/variants", headers=house.keys["read"], params=params).json()
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items


def test_variants_are_listed_by_job_and_index_without_a_gap_or_a_double(
    api: TestClient, house: House, jobs: list[str]
) -> None:
    whole = [f"{job}.{index}" for job in reversed(jobs) for index in range(64)]

    assert [item["id"] for item in listed(api, house, limit=1000)] == whole
    assert [item["id"] for item in listed(api, house, limit=7)] == whole
    assert [item["id"] for item in listed(api, house, limit=64)] == whole


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"letters": "AB"}, 64),
        ({"letters": "ab"}, 64),
        ({"letters": "ABC"}, 0),
        ({"layout": "single"}, 64),
        ({"layout": "single", "letters": "C"}, 64),
        ({"layout": "single", "letters": "AB"}, 0),
        ({"model": "other"}, 64),
        ({"model": "letters:1", "letters": "C"}, 32),
    ],
)
def test_filters_narrow_the_list(
    api: TestClient, house: House, jobs: list[str], query: dict[str, str], expected: int
) -> None:
    found = listed(api, house, **query, limit=50)
    letters = {item["letters"] for item in found}

    assert len({item["id"] for item in found}) == expected
    assert "letters" not in query or letters <= {query["letters"].upper()}
    assert "layout" not in query or {item["layout"] for item in found} <= {query["layout"]}
    assert query.get("model", "").split(":")[0] in {"", *(item["model"].split(":")[0] for item in found)}


def test_a_job_filter_finds_only_that_jobs_and_nothing_of_a_job_that_is_not_there(
    api: TestClient, house: House, jobs: list[str]
) -> None:
    mine = listed(api, house, job=jobs[0], limit=1000)
    none = listed(api, house, job="019a0000-0000-7000-8000-000000000000")

    assert {item["job"] for item in mine} == {jobs[0]}
    assert len(mine) == 64
    assert none == []


def test_a_variant_says_what_it_is(api: TestClient, house: House, jobs: list[str]) -> None:
    shown = api.get(f"/v1/variants/{jobs[1]}.2", headers=house.keys["read"]).json()

    assert shown == {
        "id": f"{jobs[1]}.2",
        "job": jobs[1],
        "index": 2,
        "letters": "AB",
        "layout": "straight",
        "model": "other:1",
        "digest": sha256(b"picture 2").hexdigest(),
        "ink": 0.25,
        "legibility": 0.9,
        "score": None,
    }


def test_a_picture_is_read_by_its_range_and_may_be_kept_for_ever(
    api: TestClient, house: House, jobs: list[str]
) -> None:
    url = f"/v1/variants/{jobs[0]}.63/image"
    answer = api.get(url, headers=house.keys["read"])
    again = api.get(url, headers=house.keys["read"] | {"If-None-Match": answer.headers["etag"]})

    assert (answer.status_code, answer.content) == (200, b"picture 63")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["etag"] == f'"{sha256(b"picture 63").hexdigest()}"'
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert (again.status_code, again.content) == (304, b"")


def test_a_picture_is_not_found_where_the_catalogue_has_no_row(api: TestClient, house: House, jobs: list[str]) -> None:
    house.submit(total=64)
    null = house.make(house.slot()).job_id
    with house.database.transaction() as session:
        session.execute(sa.update(Shard).values(path=None))

    assert api.get(f"/v1/variants/{jobs[0]}.64/image", headers=house.keys["read"]).status_code == 404
    assert api.get(f"/v1/variants/{null}.0/image", headers=house.keys["read"]).status_code == 404
    assert api.get(f"/v1/variants/{jobs[0]}.0/image", headers=house.keys["rival"]).status_code == 404


def test_a_store_that_is_away_is_told_from_a_picture_that_is_not_there(
    api: TestClient, house: House, jobs: list[str], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    api.get(f"/v1/variants/{jobs[0]}.0/image", headers=house.keys["read"])
    store.rename(tmp_path / "unmounted")
    answer = api.get(f"/v1/variants/{jobs[0]}.0/image", headers=house.keys["read"])

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


def test_a_damaged_shard_is_no_request_that_makes_no_sense(
    api: TestClient, house: House, jobs: list[str], tmp_path: Path
) -> None:
    with house.database.transaction() as session:
        begins = session.scalars(sa.select(Variant.offset).where(Variant.index == 9)).first()
    for tar in (tmp_path / "store" / "jobs").rglob("*.tar"):
        tar.write_bytes(tar.read_bytes()[: (begins or 0) + 3])

    for index in (9, 10):
        assert api.get(f"/v1/variants/{jobs[0]}.{index}/image", headers=house.keys["read"]).status_code == 503


def test_a_model_shows_its_versions_newest_first_with_its_aliases(api: TestClient, house: House) -> None:
    house.model("letters", versions=3, aliases={"production": 2})
    house.model("letters2")
    one = api.get("/v1/models/letters", headers=house.keys["read"]).json()
    every = api.get("/v1/models", headers=house.keys["read"]).json()["items"]

    assert [version["number"] for version in one["versions"]] == [3, 2, 1]
    assert one["aliases"] == {"production": 2}
    assert one["versions"][0]["digest"] == "01" * 32
    assert [model["name"] for model in every] == ["letters", "letters2"]
    assert every[0] == one
    assert api.get("/v1/models/nobody", headers=house.keys["read"]).status_code == 404


def test_a_dataset_is_registered_once_and_its_name_is_not_taken_twice(api: TestClient, house: House) -> None:
    own = house.keys["write"]
    made = api.post("/v1/datasets", headers=own, json={"name": "mine", "path": "/fonts/mine"})
    again = api.post("/v1/datasets", headers=own, json={"name": "mine", "path": "/fonts/mine"})
    other = api.post("/v1/datasets", headers=own, json={"name": "mine", "path": "/fonts/else"})
    builtin = api.post("/v1/datasets", headers=own, json={"name": "fonts", "path": "/fonts/mine"})
    rival = api.post("/v1/datasets", headers=house.keys["rival"], json={"name": "mine", "path": "/fonts/else"})

    assert (made.status_code, again.status_code, rival.status_code) == (201, 200, 201)
    assert (other.status_code, builtin.status_code) == (409, 409)
    assert made.json() | {"created_at": ""} == {
        "name": "mine", "kind": "fonts", "path": "/fonts/mine", "split": None, "builtin": False,
        "versions": [], "created_at": "",
    }  # fmt: skip
    listed = api.get("/v1/datasets", headers=own).json()["items"]
    assert [(item["name"], item["builtin"]) for item in listed] == [("emnist", True), ("fonts", True), ("mine", False)]


def test_workers_are_the_live_slots_and_name_only_ones_own_jobs(api: TestClient, house: House) -> None:
    job = house.submit()
    busy, idle = house.slot(), house.slot("gpu")
    house.claim(busy)
    mine = api.get("/v1/workers", headers=house.keys["read"]).json()["items"]
    theirs = api.get("/v1/workers", headers=house.keys["rival"]).json()["items"]

    assert [(slot["id"], slot["queue"], slot["state"], slot["job"]) for slot in mine] == [
        (str(busy), "cpu", "busy", str(job)),
        (str(idle), "gpu", "idle", None),
    ]
    assert [slot["job"] for slot in theirs] == [None, None]


def test_an_owner_gets_a_weight_and_is_made_if_new(api: TestClient, house: House) -> None:
    for weight in (3.5, 2):
        answer = api.put("/v1/owners/olena", headers=house.keys["admin"], json={"weight": weight})

        assert (answer.status_code, answer.json()["weight"]) == (200, weight)
    listed = api.get("/v1/owners", headers=house.keys["admin"]).json()["items"]
    assert [(owner["name"], owner["weight"]) for owner in listed] == [("olena", 2.0), ("rival", 1.0), ("studio", 1.0)]


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/keys", "/v1/owners", "/v1/workers", "/v1/datasets", "/v1/schedules"]
)
def test_every_list_can_be_walked_page_by_page(api: TestClient, house: House, path: str) -> None:
    for name in ("a", "b", "c"):
        house.model(name)
        house.slot()
        api.post("/v1/datasets", headers=house.keys["admin"], json={"name": name})
        rule = {"name": name, "cron": "0 3 * * *", "request": {"kind": "dataset"}}
        assert api.post("/v1/schedules", headers=house.keys["admin"], json=rule).status_code == 201
    whole = api.get(path, headers=house.keys["admin"]).json()["items"]
    walked, cursor = [], None
    for _ in whole:
        query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = api.get(path, headers=house.keys["admin"], params=query).json()
        walked += page["items"]
        cursor = page["next"]

    assert len(whole) >= 2
    assert walked == whole
    assert cursor is None
