"""Repair and rebuild on a slot with real letters: what was lost comes back the same, and nothing healthy is touched."""

import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Job, ModelVersion, Shard, Variant
from core.errors import Invalid
from core.ledger.jobs import order
from tests.conftest import create_database, name_database
from tests.worker.workshop import Workshop, open_workshop, whole
from vyaz.up.servers import ServerPair


def state(workshop: Workshop, made: Job) -> tuple[object, ...]:
    """All that the catalogue and the store say of a job."""
    return (
        whole(workshop.shards(made)),
        workshop.rows(made),
        [workshop.blobs.get(each) for each in workshop.paths(made)],
    )


def repair(workshop: Workshop, made: Job) -> Job:
    job = workshop.ask("repair", job=str(made.id))
    assert (job.state, job.failed, job.reason) == ("done", 0, None)
    return job


def rebuild(workshop: Workshop, made: Job | None) -> Job:
    job = workshop.ask("rebuild", job=str(made.id) if made is not None else None)
    assert (job.state, job.failed, job.reason) == ("done", 0, None)
    return job


def sound(workshop: Workshop, made: Job) -> bool:
    result = workshop.ask("verify", job=str(made.id), sample=1).result
    assert result["findings"] == []
    return bool(result["sound"])


def test_lost_and_rotten_shards_come_back_to_the_byte(workshop: Workshop) -> None:
    made = workshop.make(4 * 64)
    before = state(workshop, made)
    lost, rotten, healthy, cut = workshop.paths(made)
    workshop.blobs.delete(lost)
    workshop.blobs.put(rotten, b"rot")
    workshop.blobs.put(cut, workshop.blobs.get(cut)[:-1])
    put_at = workshop.blobs.look(healthy).modified

    job = repair(workshop, made)

    assert state(workshop, made) == before
    assert workshop.blobs.look(healthy).modified == put_at
    counts = job.result["counts"]
    assert (counts["shards"], counts["restored"]) == (4, 3)
    assert {finding["outcome"] for finding in job.result["findings"]} == {"restored, the same to the byte"}
    assert sound(workshop, made)


def test_a_whole_job_is_left_as_it_is(workshop: Workshop) -> None:
    made = workshop.make(64)
    before = state(workshop, made)

    assert repair(workshop, made).result == {"counts": {"shards": 1}, "findings": []}
    assert state(workshop, made) == before


def test_rows_are_mended_from_a_sound_shard_and_with_a_lost_one(workshop: Workshop) -> None:
    made = workshop.make(3 * 64)
    before = state(workshop, made)
    workshop.blobs.delete(workshop.paths(made)[2])
    mine = Variant.job_number == made.number
    workshop.change(sa.delete(Variant).where(mine, Variant.index.in_([3, 150])))
    workshop.change(sa.update(Variant).where(mine, Variant.index == 70).values(digest=b"\1" * 32))

    counts = repair(workshop, made).result["counts"]

    assert (counts["rows_mended"], counts["restored"]) == (3, 1)
    assert state(workshop, made) == before


def test_a_shard_that_comes_out_otherwise_gets_another_key_and_that_is_said(workshop: Workshop) -> None:
    made = workshop.make(2 * 64)
    first, second = workshop.shards(made)
    rows = workshop.rows(made)
    # As if another device class had made it: another tar, and other pixels of one picture.
    workshop.change(
        sa.update(Shard).where(Shard.id == first.id).values(digest=b"\1" * 32, device_class="of another world")
    )
    one = sa.and_(Variant.job_number == made.number, Variant.index == 5)
    workshop.change(sa.update(Variant).where(one).values(digest=b"\2" * 32))
    workshop.blobs.delete(str(first.path))

    job = repair(workshop, made)

    assert job.result["counts"]["replaced"] == 1
    (finding,) = job.result["findings"]
    assert "1 of 64 pictures have other pixels" in finding["outcome"]
    assert "first on of another world" in finding["outcome"]
    moved, untouched = workshop.shards(made)
    assert whole([untouched]) == whole([second])
    assert moved.path != first.path
    assert (moved.epoch, moved.device_class) == (first.epoch + 1, second.device_class)
    assert workshop.rows(made) == rows
    assert sound(workshop, made)


def test_the_best_of_a_job_come_back_to_the_byte(workshop: Workshop) -> None:
    made = workshop.make(128, best=5)
    before = state(workshop, made)
    (path,) = workshop.paths(made)
    workshop.blobs.delete(path)

    assert repair(workshop, made).result["counts"]["restored"] == 1
    assert state(workshop, made) == before


def test_weights_that_are_gone_are_said_to_be_lost(workshop: Workshop) -> None:
    made = workshop.make(64)
    with workshop.database.transaction() as session:
        key = session.scalars(sa.select(ModelVersion.path).where(ModelVersion.id == made.model_version_id)).one()
    data = workshop.blobs.get(key)
    workshop.blobs.delete(key)

    job = repair(workshop, made)
    workshop.blobs.put(key, data)

    assert job.result["counts"]["left"] == 1
    assert job.result["findings"][0]["outcome"] == "left: only shards of variants can be made again"


def test_rows_are_made_again_from_shards_alone(workshop: Workshop) -> None:
    made = workshop.make(3 * 64)
    before = state(workshop, made)
    mine = Variant.job_number == made.number
    workshop.change(sa.delete(Variant).where(mine, Variant.index < 100))
    workshop.change(sa.update(Variant).where(mine, Variant.index == 150).values(letters="Ґ", score=None))

    assert rebuild(workshop, made).result["counts"] == {"shards": 3, "rebuilt": 3}
    assert state(workshop, made) == before
    assert rebuild(workshop, made).result["counts"] == {"shards": 3}


def test_the_rows_of_the_best_are_made_again(workshop: Workshop) -> None:
    made = workshop.make(128, best=5)
    before = state(workshop, made)
    workshop.change(sa.delete(Variant).where(Variant.job_number == made.number))

    assert rebuild(workshop, made).result["counts"]["rebuilt"] == 1
    assert state(workshop, made) == before


def test_a_job_that_runs_is_not_rebuilt(workshop: Workshop) -> None:
    made = workshop.make(64)
    workshop.change(sa.update(Job).where(Job.id == made.id).values(state="running"))
    with pytest.raises(Invalid, match="rebuild it when it is finished"):
        workshop.ask("rebuild", job=str(made.id))
    workshop.change(sa.update(Job).where(Job.id == made.id).values(state="done"))


def test_a_store_whose_database_is_lost_is_taken_in_whole(
    workshop: Workshop, servers: ServerPair, template: str, tmp_path: Path
) -> None:
    """Variants with all their columns, shards and jobs with all that a store can know."""
    jobs = [workshop.make(150), workshop.make(128, best=5), workshop.make(64, letters=["BV"])]
    half = workshop.make(128)
    lost = workshop.paths(half)[0]
    workshop.blobs.delete(lost)
    name = f"rebuilt_{uuid.uuid4().hex[:8]}"
    create_database(servers, name, template)
    later = open_workshop(name_database(servers, name), servers.broker_url, tmp_path, workshop.settings.store)
    try:
        with later.database.transaction() as session:
            session.execute(sa.delete(ModelVersion).where(ModelVersion.id.is_(None)))
        done = rebuild(later, None)
        assert done.result["counts"]["jobs"] >= 4
        for before in jobs:
            after = later.job(before)
            told = (
                "state",
                "kind",
                "spec",
                "seed",
                "total",
                "next_index",
                "done",
                "failed",
                "closing",
                "result",
                "needs",
            )
            assert {each: getattr(after, each) for each in told} == {each: getattr(before, each) for each in told}
            assert known(later.rows(after)) == known(workshop.rows(before))
            assert [told_of(each) for each in later.shards(after)] == [
                told_of(each) for each in workshop.shards(before)
            ]
            assert sound(later, after)
        part = later.job(half)
        assert (part.state, part.done, part.reason) == ("cancelled", 64, "taken in from the store")
        assert rebuild(later, None).result["counts"].get("rebuilt", 0) == 0
        retry(later, part)
        assert later.job(part).state == "done"
        assert known(later.rows(part)) == known(workshop.rows(half))
    finally:
        later.close()


def known(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Rows without the numbers that a database gives out."""
    given = ("job_number", "shard_id", "model_version_id")
    return [{name: value for name, value in row.items() if name not in given} for row in rows]


def told_of(shard: Shard) -> tuple[object, ...]:
    return shard.start, shard.stop, shard.state, shard.closing, shard.epoch, shard.path, shard.size, shard.digest


def retry(workshop: Workshop, job: Job) -> None:
    with workshop.database.transaction() as session:
        order(session, workshop.owner, job.id, "retry")
    workshop.slot.answer()
