"""Exports over HTTP: asked for, refused with a pointer, and the file that they end in; and recipes."""

from hashlib import sha256
from typing import Any

import pytest
from starlette.testclient import TestClient

from core.ledger.finish import Outcome, Stored, finish_surely
from core.storage.blobs import Blobs
from tests.api.conftest import House


@pytest.fixture
def made(house: House, api: TestClient) -> str:
    """A finished job of 64 variants."""
    house.model("letters")
    body = {"kind": "generate", "spec": {"letters": ["AB", "C"]}, "count": 64, "seed": 5}
    job = api.post("/v1/jobs", headers=house.keys["write"], json=body).json()["id"]
    house.make(house.slot())
    return str(job)


def ask(api: TestClient, house: House, key: str = "write", **spec: Any) -> Any:
    return api.post("/v1/jobs", headers=house.keys[key], json={"kind": "export", "spec": spec})


def test_a_whole_job_is_exported_and_the_file_is_served_in_pieces(api: TestClient, house: House, made: str) -> None:
    job = ask(api, house, job=made, formats=["svg", "dxf"], min_stroke=1.2).json()
    early = api.get(f"/v1/jobs/{job['id']}/file", headers=house.keys["read"])
    lease = house.claim(house.slot())
    key, data = f"jobs/{lease.job_id}/export.{lease.epoch}.zip", b"archive" * 300_000
    Blobs.open(house.settings.store_url).put(key, data)
    stored = Stored(key, len(data), sha256(data).digest())
    finish_surely(house.database, lease, Outcome(64, 1.0, stored, total=64), lambda _: {"exported": 64})
    answer = api.get(f"/v1/jobs/{job['id']}/file", headers=house.keys["read"])

    assert (job["total"], job["spec"]["jobs"]) == (64, {made: None})
    assert (early.status_code, "it is queued" in early.json()["detail"]) == (404, True)
    assert answer.content == data
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert api.get(f"/v1/jobs/{job['id']}/file", headers=house.keys["rival"]).status_code == 404
    assert api.get(f"/v1/jobs/{made}/file", headers=house.keys["read"]).status_code == 404


def test_variants_are_exported_by_their_ids(api: TestClient, house: House, made: str) -> None:
    job = ask(api, house, variants=[f"{made}.7", f"{made}.2", f"{made}.7"]).json()

    assert job["spec"]["jobs"] == {made: [2, 7]}
    assert job["total"] == 2


@pytest.mark.parametrize(
    ("change", "pointer", "word"),
    [
        ({"variants": []}, "/spec/variants", "at least one"),
        ({"job": True, "variants": True}, "/spec/variants", "not both"),
        ({"variants": ["x.1"]}, "/spec/variants/0", "pattern"),
        ({"job": True, "formats": ["svg", "svg"]}, "/spec/formats", "once"),
        ({"job": True, "formats": ["eps"]}, "/spec/formats/0", "png"),
        ({"job": True, "formats": []}, "/spec/formats", "at least 1"),
        ({"job": True, "side": 0}, "/spec/side", "greater than 0"),
        ({"job": True, "side": -50}, "/spec/side", "greater than 0"),
        ({"job": True, "pixels": 1_000_000}, "/spec/pixels", "4096"),
        ({"job": True, "pixels": 0}, "/spec/pixels", "16"),
        ({"job": True, "ink": "red"}, "/spec/ink", "pattern"),
        ({"job": True, "min_stroke": -1}, "/spec/min_stroke", "greater than 0"),
        ({"job": True, "bare": True}, "/spec/bare", "one variant"),
        ({"job": True, "name": "../{index}"}, "/spec/name", "made of"),
        ({"job": True, "name": "/etc/{index}"}, "/spec/name", "made of"),
        ({"job": True, "name": "{index.__class__}"}, "/spec/name", "name"),
        ({"job": True, "name": "{index!r}"}, "/spec/name", "name"),
        ({"job": True, "name": "{secret}"}, "/spec/name", "may hold"),
        ({"job": True, "name": "{index"}, "/spec/name", ""),
        ({"job": True, "name": ""}, "/spec/name", "made of"),
    ],
)
def test_an_export_that_makes_no_sense_is_refused(
    api: TestClient, house: House, made: str, change: dict[str, Any], pointer: str, word: str
) -> None:
    spec = {
        name: {"job": made, "variants": [f"{made}.1"]}[name] if value is True and name != "bare" else value
        for name, value in change.items()
    }
    answer = ask(api, house, **spec)

    assert answer.status_code == 422, answer.text
    [fault] = answer.json()["errors"]
    assert fault["pointer"] == pointer
    assert word in fault["detail"]


def test_only_what_is_there_and_ones_own_is_exported(api: TestClient, house: House, made: str) -> None:
    body = {"kind": "generate", "spec": {"letters": ["AB"]}, "count": 64}
    unfinished = api.post("/v1/jobs", headers=house.keys["write"], json=body).json()["id"]
    nobody = "00000000-0000-4000-8000-000000000000"

    assert ask(api, house, job=nobody).json()["errors"][0]["pointer"] == "/spec/job"
    assert ask(api, house, variants=[f"{nobody}.1"]).json()["errors"][0]["pointer"] == "/spec/variants"
    assert "done" in ask(api, house, job=unfinished).json()["detail"]


def test_a_name_without_an_index_gets_one(api: TestClient, house: House, made: str) -> None:
    assert ask(api, house, job=made, name="{letters}").json()["spec"]["name"] == "{letters}-{index}"


def test_a_variant_tells_its_recipe(api: TestClient, house: House, made: str) -> None:
    answer = api.get(f"/v1/variants/{made}.3/recipe", headers=house.keys["read"])
    found = answer.json()

    assert answer.status_code == 200, answer.text
    assert (found["recipe"]["letters"], found["recipe"]["seed"], found["recipe"]["index"]) == ("C", 5, 3)
    assert len(found["recipe"]["style"]) == 100
    assert len(found["weights"]) == 64
    assert api.get(f"/v1/variants/{made}.3/recipe", headers=house.keys["rival"]).status_code == 404
