"""`vyaz verify`, `repair`, `rebuild` and `gc`: what they ask for, what they say, and how they end."""

import json
import threading
import time
from typing import Any

import pytest

from core.ledger import leases, slots
from core.ledger.finish import Outcome, finish_surely
from core.recipe import ENGINE
from tests.vyaz.conftest import House, Vyaz
from vyaz import Client

FINDING = {"key": "jobs/7/a.tar", "items": [0, 64], "reasons": ["the object is gone"]}


def answer(house: House, result: dict[str, Any]) -> threading.Thread:
    """A slot that finishes the next jobs with this result, without looking at anything."""
    database = house.door.database
    with database.transaction() as session:
        slot = slots.register(session, slots.Slot("node", "host", 1, 1, "cpu", "cpu", "test", "0", ENGINE))

    def work() -> None:
        deadline, idle = time.monotonic() + 30, 0
        while time.monotonic() < deadline and idle < 10:
            with database.transaction() as session:
                lease = leases.claim(session, slot, house.door.settings)
            if lease is None:
                idle += bool(idle)
                time.sleep(0.05)
                continue
            idle = 1
            found = result if lease.closing or lease.kind == "gc" else {}
            finish_surely(database, lease, Outcome(lease.stop, 0.1), lambda _, found=found: found)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def made(house: House, client: Client) -> str:
    job = client.jobs.null(10)
    house.work()
    return job.id


def test_verify_ends_well_where_all_is_well(house: House, client: Client, vyaz: Vyaz) -> None:
    job = made(house, client)
    working = answer(house, {"counts": {"shards": 3, "rows": 1500, "bytes": 12_300_000}, "findings": [], "sound": True})
    said = vyaz("verify", job, "--sample", "3", "--seed", "5")
    working.join()
    asked = next(iter(client.jobs.list(kind="verify")))

    assert (said.code, said.out) == (0, "")
    assert "Looked at 3 shards with 1,500 variants and 12.3 MB" in said.err
    assert (asked.spec, asked.seed, asked.total) == ({"job": job, "sample": 3}, 5, 10)


def test_verify_ends_badly_where_something_is_damaged(house: House, client: Client, vyaz: Vyaz) -> None:
    job = made(house, client)
    working = answer(house, {"counts": {"damaged": 1}, "findings": [FINDING], "sound": False})
    said = vyaz("verify", job, "--all", "--json")
    working.join()

    assert said.code == 4
    assert json.loads(said.out)["result"]["findings"] == [FINDING]
    assert json.loads(said.out)["spec"]["sample"] is None


def test_repair_says_what_became_of_each_shard(house: House, client: Client, vyaz: Vyaz) -> None:
    job = made(house, client)
    told = [FINDING | {"outcome": "restored, the same to the byte"}]
    working = answer(house, {"counts": {"shards": 3, "restored": 1}, "findings": told})
    said = vyaz("repair", job)
    working.join()

    assert said.code == 0
    assert said.out.splitlines()[1] == "0\t64\tjobs/7/a.tar\tthe object is gone\trestored, the same to the byte"
    assert "Of 3 shards 1 were restored byte for byte" in said.err


def test_gc_lists_what_it_deletes(house: House, vyaz: Vyaz) -> None:
    counts = {"deleted": 1, "deleted_bytes": 2000, "young": 4}
    working = answer(house, {"counts": counts, "findings": [{"key": "weights/b", "bytes": 2000}], "dry_run": True})
    said = vyaz("gc", "--dry-run")
    working.join()

    assert said.code == 0
    assert said.out.splitlines()[1:] == ["weights/b\t2000"]
    assert "Would delete 1 objects, 2.0 kB." in said.err
    assert "4 are left: they were put within the grace period." in said.err


@pytest.mark.parametrize("arguments", [["rebuild"], ["rebuild", "0" * 8, "--all"]])
def test_rebuild_wants_a_job_or_all(vyaz: Vyaz, arguments: list[str]) -> None:
    said = vyaz(*arguments)

    assert said.code == 1
    assert "name a job, or say --all" in said.err
