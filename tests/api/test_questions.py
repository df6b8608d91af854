"""Evaluations, sheets and inversions over HTTP: submitted, refused, and the picture that they end in."""

import uuid
from hashlib import sha256
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from core.catalogue import models
from core.catalogue.tables import Job
from core.ledger.finish import Outcome, Stored, finish_surely
from core.storage.blobs import Blobs
from core.storage.uploads import MOST_BYTES, upload_key
from tests.api.conftest import House
from tests.core.storage.test_uploads import font, picture

FONT = font(b"cmap", b"glyf")


def end(house: House, png: bytes = b"picture") -> None:
    """Finish the one job there is, as its worker would."""
    lease = house.claim(house.slot())
    key = f"jobs/{lease.job_id}/{lease.kind}.{lease.epoch}.png"
    Blobs.open(house.settings.store_url).put(key, png)
    stored = Stored(key, len(png), sha256(png).digest())
    finish_surely(house.database, lease, Outcome(lease.stop, 1.0, stored), lambda _: {"picture": key})


def send(api: TestClient, house: House, data: bytes, key: str = "write", **query: Any) -> Any:
    return api.post("/v1/models/letters/inversions", content=data, params=query, headers=house.keys[key])


def uploads(house: House) -> list[str]:
    return list(Blobs.open(house.settings.store_url).keys("uploads"))


def test_a_sheet_is_submitted_interactive_and_its_picture_is_served(api: TestClient, house: House) -> None:
    house.model()
    job = api.post("/v1/jobs", json={"kind": "sheet"}, headers=house.keys["write"]).json()
    early = api.get(f"/v1/jobs/{job['id']}/image", headers=house.keys["read"])
    end(house)
    late = api.get(f"/v1/jobs/{job['id']}/image", headers=house.keys["read"])
    again = {**house.keys["read"], "If-None-Match": late.headers["ETag"]}

    assert (job["priority"], job["model"], job["spec"]["dataset"]) == ("interactive", "letters:1", None)
    assert (early.status_code, "it is queued" in early.json()["detail"]) == (404, True)
    assert (late.content, late.headers["Content-Type"]) == (b"picture", "image/png")
    assert api.get(f"/v1/jobs/{job['id']}/image", headers=again).status_code == 304
    assert api.get(f"/v1/jobs/{job['id']}", headers=house.keys["read"]).json()["state"] == "done"
    assert api.get(f"/v1/jobs/{job['id']}/image", headers=house.keys["rival"]).status_code == 404


def test_a_job_of_another_kind_has_no_picture_of_its_own(api: TestClient, house: House) -> None:
    job_id = house.submit()
    house.make(house.slot())
    answer = api.get(f"/v1/jobs/{job_id}/image", headers=house.keys["read"])

    assert (answer.status_code, answer.json()["detail"].split(": ")[1]) == (404, "jobs of kind sheet and invert have")


def test_an_upload_becomes_an_inversion_kept_under_its_owner(api: TestClient, house: House) -> None:
    house.model()
    answer = send(api, house, FONT, name="Own.ttf")
    job = answer.json()
    digest = sha256(FONT).hexdigest()

    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["priority"], job["total"]) == ("invert", "interactive", 1)
    assert (job["spec"]["upload"], job["spec"]["name"], job["spec"]["letter"]) == (digest, "Own.ttf", None)
    assert uploads(house) == [upload_key(house.owner(), digest)]


def test_the_same_upload_with_the_same_key_is_one_job(api: TestClient, house: House) -> None:
    house.model()
    headers = {**house.keys["write"], "Idempotency-Key": "once"}
    path = "/v1/models/letters/inversions"
    first, second = (api.post(path, content=FONT, headers=headers).json() for _ in range(2))

    assert first["id"] == second["id"]


@pytest.mark.parametrize(
    ("data", "query", "reason"),
    [
        (b"", {}, "evil.ttf is empty"),
        (b"no font", {}, "evil.ttf is neither a font"),
        (FONT[:20], {}, "evil.ttf is no whole font"),
        (font(b"EBDT"), {}, "evil.ttf has no outlines"),
        (picture("PNG"), {"letter": "AB"}, "a picture shows one letter"),
        (picture("PNG"), {"letter": "Ы"}, "cannot be drawn"),
    ],
)
def test_a_file_that_cannot_be_used_is_422_with_its_name_and_leaves_nothing(
    api: TestClient, house: House, data: bytes, query: dict[str, str], reason: str
) -> None:
    house.model()
    before = house.rows()
    answer = send(api, house, data, name="evil.ttf", **query)

    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert (uploads(house), house.rows()) == ([], before)


def test_an_inversion_of_no_model_stores_nothing(api: TestClient, house: House) -> None:
    answer = send(api, house, FONT)

    assert (answer.status_code, uploads(house)) == (422, [])
    assert "there is no model 'letters'" in answer.json()["detail"]


def test_whoever_may_only_read_uploads_nothing(api: TestClient, house: House) -> None:
    house.model()

    assert send(api, house, FONT, key="read").status_code == 403
    assert uploads(house) == []


def test_a_file_may_be_larger_than_other_bodies_but_not_without_end(api: TestClient, house: House) -> None:
    house.model()

    assert send(api, house, FONT + bytes(2 << 20)).status_code == 202
    assert send(api, house, bytes(MOST_BYTES + 1)).status_code == 413
    assert api.post("/v1/jobs", content=bytes(2 << 20), headers=house.keys["write"]).status_code == 413


def test_an_upload_goes_with_the_last_job_that_used_it(api: TestClient, house: House) -> None:
    house.model()
    jobs = [send(api, house, FONT).json()["id"] for _ in range(2)]
    kept = []
    for job in jobs:
        house.set_state(uuid.UUID(job), state="failed")
        assert api.delete(f"/v1/jobs/{job}", headers=house.keys["write"]).status_code == 204
        kept.append(len(uploads(house)))

    assert kept == [1, 0]


def test_figures_are_shown_with_their_version(api: TestClient, house: House) -> None:
    (version,) = house.model()
    before = api.get("/v1/models/letters", headers=house.keys["read"]).json()["versions"][0]
    with house.database.transaction() as session:
        models.keep_figures(session, version, {"legibility": 0.97, "worst_letter_sign": "Ґ"})
    after = api.get("/v1/models/letters", headers=house.keys["read"]).json()["versions"][0]

    assert (before["figures"], after["figures"]) == (None, {"legibility": 0.97, "worst_letter_sign": "Ґ"})


def test_legibility_is_shown_with_its_variant(api: TestClient, house: House) -> None:
    job_id = house.submit(total=64)
    house.make(house.slot())
    variant = api.get(f"/v1/variants/{job_id}.5", headers=house.keys["read"]).json()

    assert variant["legibility"] == 0.9


def test_an_evaluation_without_a_judge_says_what_is_missing(api: TestClient, house: House) -> None:
    house.model()
    answer = api.post("/v1/jobs", json={"kind": "evaluate"}, headers=house.keys["write"])

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/spec/judge")
    with house.database.transaction() as session:
        assert session.scalars(sa.select(Job)).all() == []
