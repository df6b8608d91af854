"""Every route of the API with every key: none, wrong, revoked, too small, and another owner's."""

import re
import uuid
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.openapi import Api
from tests.api.conftest import House

OPEN = {"/livez", "/readyz", "/metrics"}
ADMIN = ("/v1/keys", "/v1/owners")
SCOPES = ("read", "write", "admin")
BODIES: dict[str, Any] = {
    "POST /v1/jobs": {"kind": "null", "count": 1},
    "PATCH /v1/jobs/{job_id}": {"priority": "bulk"},
    "POST /v1/datasets": {"name": "mine"},
    "POST /v1/keys": {"owner": "studio"},
    "PUT /v1/owners/{name}": {"weight": 2},
    "POST /v1/schedules": {"name": "hourly", "cron": "0 * * * *", "request": {"kind": "dataset"}},
}


def operations(app: Api) -> list[tuple[str, str]]:
    described = app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in described.items() for method in methods if path not in OPEN]


def needed(method: str, path: str) -> str:
    if path.startswith(ADMIN):
        return "admin"
    return "read" if method == "GET" else "write"


@pytest.fixture
def things(house: House, api: TestClient) -> dict[str, str]:
    """One of everything that has an id, belonging to `studio`; the job is over, so that its events end."""
    admin = house.keys["admin"]
    house.model()
    job = house.submit()
    house.make(house.slot())
    schedule = BODIES["POST /v1/schedules"] | {"name": "nightly"}
    assert api.post("/v1/schedules", headers=admin, json=schedule).status_code == 201
    assert api.post("/v1/datasets", headers=admin, json={"name": "own"}).status_code == 201
    key = api.post("/v1/keys", headers=admin, json={"owner": "studio"}).json()["id"]
    return {"job_id": str(job), "variant_id": f"{job}.0", "key_id": key, "schedule": "nightly", "dataset": "own"}


def place(path: str, things: dict[str, str]) -> str:
    names = {"/v1/schedules": "schedule", "/v1/datasets": "dataset"}
    mine = next((things[kind] for prefix, kind in names.items() if path.startswith(prefix)), "letters")
    return re.sub(r"\{(\w+)\}", lambda match: things.get(match[1], mine), path)


def call(api: TestClient, method: str, path: str, url: str, headers: Any) -> int:
    return api.request(method, url, headers=headers, json=BODIES.get(f"{method} {path}")).status_code


def test_no_route_opens_without_a_key_or_with_an_unknown_or_malformed_one(
    app: Api, api: TestClient, things: dict[str, str]
) -> None:
    unknown = f"Bearer vyz_{'0' * 12}_{'A' * 43}"
    odd = [b"Bearer \xff", b"Basic eDp5", b"Bearer", b"Bearer " + b"x" * 5000]
    tries: list[Any] = [{}, {"Authorization": unknown}, *({"Authorization": each} for each in odd)]
    answers = {
        (method, path, call(api, method, path, place(path, things), headers))
        for method, path in operations(app)
        for headers in tries
    }

    assert len(answers) > 20
    assert {status for _, _, status in answers} == {401}


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_opens_what_its_scope_covers_and_nothing_else(
    app: Api, api: TestClient, house: House, things: dict[str, str], scope: str
) -> None:
    for method, path in operations(app):
        status = call(api, method, path, place(path, things), house.keys[scope])
        refused = SCOPES.index(scope) < SCOPES.index(needed(method, path))

        assert (status == 403) == refused, (method, path, status)
        assert status != 401
        assert status < 500


def test_what_belongs_to_another_owner_is_as_if_it_were_not_there(
    app: Api, api: TestClient, house: House, things: dict[str, str]
) -> None:
    shared = ("/v1/models", *ADMIN)
    for method, path in operations(app):
        if "{" not in path or path.startswith(shared):
            continue
        status = call(api, method, path, place(path, things), house.keys["rival"])

        assert status == 404, (method, path, status)


def test_another_owners_id_is_answered_word_for_word_like_one_that_never_was(
    api: TestClient, house: House, things: dict[str, str]
) -> None:
    never = str(uuid.uuid4())
    theirs = api.get(f"/v1/jobs/{things['job_id']}", headers=house.keys["rival"]).json()
    nobodys = api.get(f"/v1/jobs/{never}", headers=house.keys["rival"]).json()
    for answer in (theirs, nobodys):
        del answer["request_id"]

    assert theirs["detail"].replace(things["job_id"], never) == nobodys["detail"]
    assert theirs | {"detail": ""} == nobodys | {"detail": ""}


def test_lists_show_an_owner_only_its_own(api: TestClient, house: House, things: dict[str, str]) -> None:
    for path in ("/v1/jobs", "/v1/variants", "/v1/schedules"):
        assert len(api.get(path, headers=house.keys["read"]).json()["items"]) > 0, path
        assert api.get(path, headers=house.keys["rival"]).json()["items"] == [], path
    seen = api.get("/v1/datasets", headers=house.keys["rival"]).json()["items"]
    assert [item["name"] for item in seen] == ["emnist", "fonts"]


def test_a_revoked_key_opens_nothing_from_that_moment(api: TestClient, house: House) -> None:
    made = api.post("/v1/keys", headers=house.keys["admin"], json={"name": "laptop", "scope": "read"}).json()
    own = {"Authorization": f"Bearer {made['key']}"}

    assert api.get("/v1/jobs", headers=own).status_code == 200
    assert api.delete(f"/v1/keys/{made['id']}", headers=house.keys["admin"]).status_code == 204
    assert api.get("/v1/jobs", headers=own).status_code == 401


def test_a_key_is_shown_once_and_never_again(api: TestClient, house: House) -> None:
    answer = api.post("/v1/keys", headers=house.keys["admin"], json={"owner": "olena", "scope": "write"})
    key = answer.json()["key"]
    listed = api.get("/v1/keys", headers=house.keys["admin"])

    assert re.fullmatch(r"vyz_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["prefix"] in {item["prefix"] for item in listed.json()["items"]}
    assert key not in listed.text
    assert key.split("_", 2)[2] not in listed.text


def test_a_key_in_the_address_is_no_key(api: TestClient, house: House) -> None:
    key = house.keys["admin"]["Authorization"].split()[1]

    assert api.get("/v1/jobs", params={"key": key, "api_key": key}).status_code == 401


def test_the_last_admin_key_cannot_be_revoked(api: TestClient, house: House) -> None:
    admins = [
        item["id"]
        for item in api.get("/v1/keys", headers=house.keys["admin"]).json()["items"]
        if item["scope"] == "admin" and item["owner"] == "rival"
    ]
    own = [
        item["id"]
        for item in api.get("/v1/keys", headers=house.keys["admin"]).json()["items"]
        if item["scope"] == "admin" and item["owner"] == "studio"
    ]

    assert api.delete(f"/v1/keys/{admins[0]}", headers=house.keys["admin"]).status_code == 204
    assert api.delete(f"/v1/keys/{own[0]}", headers=house.keys["admin"]).status_code == 409


def test_only_an_admin_may_rehearse_faults(api: TestClient, house: House) -> None:
    body = {"kind": "null", "count": 10, "spec": {"faults": {"3": "exit"}}}

    assert api.post("/v1/jobs", headers=house.keys["write"], json=body).status_code == 403
    assert api.post("/v1/jobs", headers=house.keys["admin"], json=body).status_code == 202


@pytest.mark.parametrize("body", [{"kind": "gc"}, {"kind": "rebuild"}, {"kind": "rebuild", "spec": {"job": None}}])
def test_only_an_admin_may_sweep_the_store_or_take_in_its_jobs(api: TestClient, house: House, body: object) -> None:
    refused = api.post("/v1/jobs", headers=house.keys["write"], json=body)
    rule = {"name": "nightly", "cron": "0 3 * * *", "request": body}

    assert refused.status_code == 403
    assert api.post("/v1/schedules", headers=house.keys["write"], json=rule).status_code == 403
    assert api.post("/v1/jobs", headers=house.keys["admin"], json=body).status_code == 202


def test_a_job_of_another_owner_is_not_looked_after(api: TestClient, house: House) -> None:
    job = house.submit("rival")

    for kind in ("verify", "repair", "rebuild"):
        answer = api.post("/v1/jobs", headers=house.keys["admin"], json={"kind": kind, "spec": {"job": str(job)}})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/spec/job"
