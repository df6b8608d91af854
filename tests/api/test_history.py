"""What nobody can do is refused with the reason; what happened is told, and whether it was legal."""

from typing import Any

from starlette.testclient import TestClient

from core.ledger.finish import Outcome, finish_surely
from tests.api.conftest import House

NULL: dict[str, Any] = {"kind": "null", "count": 64}


def test_what_nobody_can_do_is_refused_unless_one_waits_for_it(api: TestClient, house: House) -> None:
    key, asked = house.keys["write"], {**NULL, "min_memory": 10**12}
    before = house.rows()
    refused = api.post("/v1/jobs", headers=key, json=asked)
    nothing_left = house.rows() == before
    waits = api.post("/v1/jobs", headers=key, json={**asked, "wait_for_worker": True})

    assert refused.status_code == 409
    assert "it needs 1e+03 GB of memory, the largest slot has 0; pass wait_for_worker" in refused.json()["detail"]
    assert nothing_left
    assert waits.status_code == 202


def test_a_repeated_key_answers_though_the_worker_has_gone(api: TestClient, house: House) -> None:
    key = {**house.keys["write"], "Idempotency-Key": "once"}
    first = api.post("/v1/jobs", headers=key, json=NULL)
    house.forget_slots()
    again = api.post("/v1/jobs", headers=key, json=NULL)
    other = api.post("/v1/jobs", headers={**key, "Idempotency-Key": "other"}, json=NULL)

    assert (first.status_code, again.status_code, again.json()["id"]) == (202, 202, first.json()["id"])
    assert (other.status_code, "none has registered" in other.json()["detail"]) == (409, True)


def test_a_history_tells_each_change_with_epoch_and_actor(api: TestClient, house: House) -> None:
    write, read = house.keys["write"], house.keys["read"]
    job = api.post("/v1/jobs", headers=write, json=NULL).json()["id"]
    api.post(f"/v1/jobs/{job}/pause", headers=write)
    api.post(f"/v1/jobs/{job}/resume", headers=write)
    slot = house.slot()
    lease = house.claim(slot)
    finish_surely(house.database, lease, Outcome(lease.stop, 1.0))
    found, following = [], ""
    while following is not None:
        page = api.get(f"/v1/jobs/{job}/history?limit=3{following and '&cursor=' + following}", headers=read).json()
        found, following = found + page["items"], page["next"]

    prefix = write["Authorization"].split()[1][: len(found[0]["actor"])]
    assert [event["what"] for event in found] == [
        "submitted",
        "paused",
        "resumed",
        "started",
        "leased",
        "finished",
        "done",
    ]
    assert [event["actor"] for event in found] == [prefix, prefix, prefix, None, str(slot), str(slot), None]
    assert [event["epoch"] for event in found] == [None, None, None, None, 1, 1, None]
    audit = api.get(f"/v1/jobs/{job}/audit", headers=read)
    assert audit.json() == {"events": 7, "shards": 1, "problems": []}


def test_anothers_history_is_not_told(api: TestClient, house: House) -> None:
    job = house.submit("rival")

    for path in ("history", "audit"):
        assert api.get(f"/v1/jobs/{job}/{path}", headers=house.keys["admin"]).status_code == 404
