"""The closing shard of a job that keeps its best: a ranking, a look at each picture, and one tar of those that stay."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue import choice, models
from core.catalogue.choice import Candidate
from core.catalogue.rows import VariantRow
from core.catalogue.tables import Job
from core.ledger.finish import Keep, Outcome, Stored
from core.ledger.leases import Lease
from core.monogram.choice import TRIED, Pixels, choose
from core.monogram.picture import decode
from core.recipe import GenerateSpec
from core.storage.blobs import Blobs
from core.storage.shards import ShardWriter, read_one, shard_key
from worker.heartbeat import Hold
from worker.work import Workplace


@dataclass(frozen=True)
class Chosen:
    """A variant that stays: its row, but for where it stands, and what its shard holds of it."""

    row: VariantRow
    png: bytes
    meta: Mapping[str, Any]


def close(place: Workplace, lease: Lease, spec: GenerateSpec, hold: Hold) -> tuple[Outcome, Keep]:
    """Keep the best of each group of letters; whatever else the job made leaves catalogue and store.

    A second attempt chooses the same: the first deletes nothing that was looked at before all is committed.
    """

    def beat() -> None:
        hold.reached(lease.start)

    quota = spec.quota()
    ranked = choice.rank(place.database, lease.job_number, {each: TRIED * many for each, many in quota.items()}, beat)
    chosen: list[Candidate] = []
    alike = 0
    for letters, indexes in ranked.items():
        found = choice.fetch(place.database, lease.job_number, indexes)
        candidates = [found[index] for index in indexes if index in found]
        picked = choose(len(candidates), _looking(place.blobs, candidates, beat), quota[letters])
        chosen += [candidates[each] for each in picked.places]
        alike += picked.alike
    looked_at = (index for indexes in ranked.values() for index in indexes)
    choice.forget_others(place.database, lease.job_number, looked_at, beat)
    chosen.sort(key=lambda each: each.row.index)
    with place.database.transaction() as session:
        job = session.scalars(sa.select(Job).where(Job.number == lease.job_number)).one()
        obsolete = choice.objects(session, lease.job_number, lease.shard_id)
        rejected = choice.reject_rest(session, lease.job_number, len(chosen), alike)
    key = shard_key(str(lease.job_id), lease.start, lease.stop, lease.epoch)
    stored, rows = _pack(place, key, job, chosen, rejected) if chosen else (None, [])

    def keep(session: Session) -> dict[str, Any]:
        choice.replace_all(session, lease.job_number, lease.shard_id, lease.model_version_id, rows)
        return {"kept": len(rows), "rejected": rejected}

    return Outcome(lease.stop, hold.seconds, stored, obsolete=obsolete), keep


def _looking(blobs: Blobs, candidates: list[Candidate], beat: Callable[[], None]) -> Callable[[int], Pixels]:
    def look(place: int) -> Pixels:
        beat()
        one = candidates[place]
        return decode(blobs.get_range(one.path, one.row.offset, one.row.length))

    return look


def repack(
    place: Workplace, blobs: Blobs, key: str, job: Job, chosen: Iterable[Chosen]
) -> tuple[int, bytes, list[VariantRow]]:
    """Store the chosen of a job that is done as its closing shard did; size, SHA-256 and rows of the tar."""
    return _write(blobs, key, _manifest(place, job), chosen, _report(job, {}))


def _pack(
    place: Workplace, key: str, job: Job, chosen: list[Candidate], rejected: Mapping[str, int]
) -> tuple[Stored, list[VariantRow]]:
    """Store the pictures of the chosen as one tar; what stands where in it."""
    read = (Chosen(one.row, *read_one(place.blobs, one.path, one.row.offset, one.row.length)) for one in chosen)
    size, digest, rows = _write(place.blobs, key, _manifest(place, job), read, _report(job, rejected))
    return Stored(key, size, digest), rows


def _write(
    blobs: Blobs, key: str, manifest: Mapping[str, Any], chosen: Iterable[Chosen], report: Mapping[str, Any]
) -> tuple[int, bytes, list[VariantRow]]:
    rows = []
    with ShardWriter(manifest) as writer:
        for one in chosen:
            span = writer.add(one.row.index, one.png, one.meta)
            rows.append(replace(one.row, offset=span.offset, length=span.length))
        size, sha256 = writer.store(blobs, key, report)
    return size, bytes.fromhex(sha256), rows


def _manifest(place: Workplace, job: Job) -> dict[str, Any]:
    """What the best of a job were made from, as the manifests of its other shards have it."""
    with place.database.transaction() as session:
        weights = models.locate(session, job.model_version_id).digest.hex()
        judge = models.pin_if_any(session, job.spec["judge"]) if job.spec.get("judge") else None
        judge_weights = models.locate(session, judge.id).digest.hex() if judge is not None else None
    made_from = {"engine": job.needs.get("engine"), "judge": judge_weights, "weights": weights}
    return {"closing": True, "seed": job.seed, "spec": job.spec, "start": job.total, "total": job.total, **made_from}


def _report(job: Job, rejected: Mapping[str, int]) -> dict[str, Any]:
    """What became of all items: the counters that the job has when it is closed."""
    earlier = job.result.get("rejected", {})
    both = {reason: earlier.get(reason, 0) + rejected.get(reason, 0) for reason in earlier | dict(rejected)}
    return {"upto": job.total, "done": job.done, "failed": job.failed, "rejected": both}
