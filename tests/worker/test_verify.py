"""Verify on a slot with real letters: what is whole is found whole, and nothing that is damaged goes unseen."""

import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.catalogue.tables import Job, ModelVersion, Shard, Variant
from tests.worker.workshop import Workshop, reasons


def verify(workshop: Workshop, made: Job, sample: int | None = 0) -> Job:
    job = workshop.ask("verify", job=str(made.id), sample=sample, seed=3)
    assert (job.state, job.failed, job.reason) == ("done", 0, None)
    return job


def test_a_whole_job_is_sound_and_its_sample_comes_out_the_same(workshop: Workshop) -> None:
    job = verify(workshop, workshop.make(150), sample=5)

    assert (job.result["sound"], job.result["findings"]) == (True, [])
    counts = job.result["counts"]
    assert (counts["shards"], counts["rows"], counts["objects"]) == (3, 150, 1)
    assert counts["made_again"] == counts["same"] == 5


def test_all_variants_are_made_again_where_that_is_asked_for(workshop: Workshop) -> None:
    job = verify(workshop, workshop.make(100), sample=None)

    assert job.result["sound"]
    assert job.result["counts"]["same"] == 100


def test_the_same_seed_makes_the_same_variants_again(workshop: Workshop) -> None:
    made = workshop.make(100)

    first, second = verify(workshop, made, sample=3), verify(workshop, made, sample=3)

    assert first.result == second.result


def test_the_best_of_a_job_are_sound(workshop: Workshop) -> None:
    made = workshop.make(128, best=6)

    job = verify(workshop, made, sample=None)

    assert (job.result["sound"], job.result["findings"]) == (True, [])
    assert job.result["counts"]["same"] == made.result["kept"] == 6


def test_an_object_that_is_gone_cut_changed_or_anothers_is_found(workshop: Workshop) -> None:
    made = workshop.make(5 * 64)
    gone, cut, changed, first, second = workshop.paths(made)
    data = {path: workshop.blobs.get(path) for path in (cut, changed, first, second)}
    workshop.blobs.delete(gone)
    workshop.blobs.put(cut, data[cut][:-700])
    workshop.blobs.put(changed, data[changed][:5000] + bytes([data[changed][5000] ^ 1]) + data[changed][5001:])
    workshop.blobs.put(first, data[second])
    workshop.blobs.put(second, data[first])

    job = verify(workshop, made)

    assert not job.result["sound"]
    assert job.result["counts"]["damaged"] == 5
    found = {finding["key"]: "; ".join(finding["reasons"]) for finding in job.result["findings"]}
    assert found[gone] == "the object is gone"
    assert f"it has {len(data[cut]) - 700} bytes, not {len(data[cut])}" in found[cut]
    assert all("SHA-256" in found[path] for path in (changed, first, second))


def test_rows_that_do_not_fit_their_pictures_are_found(workshop: Workshop) -> None:
    made = workshop.make(3 * 64)
    mine = Variant.job_number == made.number
    workshop.change(sa.delete(Variant).where(mine, Variant.index == 7))
    workshop.change(sa.update(Variant).where(mine, Variant.index == 70).values(offset=Variant.offset + 1))
    workshop.change(sa.update(Variant).where(mine, Variant.index == 130).values(shard_id=1 << 40))

    found = reasons(verify(workshop, made))

    assert "item 7 has a picture and no row" in found
    assert "the row of item 70 has another offset than the shard" in found
    assert "the row of item 130 belongs to no shard of this job" in found
    assert "190 rows and 0 rejected are not the 192 that are done" in found


def test_items_that_stand_in_no_shard_are_found(workshop: Workshop) -> None:
    made = workshop.make(3 * 64)
    middle = workshop.shards(made)[1]
    workshop.change(sa.delete(Variant).where(Variant.shard_id == middle.id))
    workshop.change(sa.delete(Shard).where(Shard.id == middle.id))

    assert "items 64 to 127 stand in no shard" in reasons(verify(workshop, made))


def test_a_digest_that_is_wrong_everywhere_is_found_by_making_again(workshop: Workshop) -> None:
    made = workshop.make(64)
    other = workshop.make(64, letters=["B"])
    # The catalogue is consistent: this job's rows and shard are those of other letters.
    theirs = workshop.shards(other)[0]
    mine, cells = workshop.shards(made)[0], ("path", "size", "digest")
    workshop.change(sa.update(Shard).where(Shard.id == mine.id).values({cell: getattr(theirs, cell) for cell in cells}))
    workshop.change(sa.delete(Variant).where(Variant.job_number == made.number))
    for row in workshop.rows(other):
        workshop.change(sa.insert(Variant).values(row | {"job_number": made.number, "shard_id": mine.id}))

    assert verify(workshop, made).result["sound"]
    job = verify(workshop, made, sample=2)

    assert not job.result["sound"]
    assert "came out with other pixels on the device class that made it" in reasons(job)


def test_other_pixels_on_another_device_class_are_no_damage(workshop: Workshop) -> None:
    made = workshop.make(64)
    row = workshop.rows(made)[0]
    one = sa.and_(Variant.job_number == made.number, Variant.index == row["index"])
    workshop.change(sa.update(Shard).where(Shard.job_number == made.number).values(device_class="of another world"))
    workshop.change(sa.update(Variant).where(one).values(digest=b"\1" * 32))

    found = verify(workshop, made, sample=None)
    assert "another digest" in reasons(found)
    workshop.change(sa.update(Variant).where(one).values(digest=row["digest"]))
    assert verify(workshop, made, sample=None).result["sound"]


def test_weights_that_are_gone_are_found(workshop: Workshop) -> None:
    made = workshop.make(64)
    with workshop.database.transaction() as session:
        key = session.scalars(sa.select(ModelVersion.path).where(ModelVersion.id == made.model_version_id)).one()
    data = workshop.blobs.get(key)
    workshop.blobs.delete(key)

    found = reasons(verify(workshop, made))
    workshop.blobs.put(key, data)

    assert found == "weights: the object is gone"


def test_a_null_job_has_rows_and_no_pictures(workshop: Workshop) -> None:
    made = workshop.ask("null", 200, faults={"5": "item"})
    assert verify(workshop, made).result["sound"]

    workshop.change(sa.delete(Variant).where(Variant.job_number == made.number, Variant.index == 9))

    assert "1 of its items have no row" in reasons(verify(workshop, made))


def test_a_job_of_another_owner_cannot_be_verified(workshop: Workshop) -> None:
    with pytest.raises(Exception, match="there is no job"):
        workshop.ask("verify", job=str(uuid.uuid4()))


def test_rejected_variants_are_no_gap(workshop: Workshop, tmp_path: Path) -> None:
    workshop.ship(tmp_path / "judge", "judge-select")
    seen = sorted(row["legibility"] for row in workshop.rows(workshop.make(64, letters=["O"])))
    made = workshop.make(64, letters=["O"], min_legibility=seen[32])

    assert 0 < made.result["rejected"]["illegible"] < 64
    assert verify(workshop, made, sample=None).result["sound"]
    workshop.change(sa.update(Job).where(Job.id == made.id).values(result={"rejected": {"illegible": 1}}))
    assert "1 rejected are not the 64 that are done" in reasons(verify(workshop, made))
