"""The closing shard of a job that keeps its best: a ranking, a look at each picture, and one tar of those that stay."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from core.catalogue import choice
from core.catalogue.choice import Candidate
from core.catalogue.rows import VariantRow
from core.ledger.finish import Keep, Outcome, Stored
from core.ledger.leases import Lease
from core.monogram.choice import TRIED, Pixels, choose
from core.monogram.picture import decode
from core.recipe import GenerateSpec
from core.storage.blobs import Blobs
from core.storage.shards import ShardWriter, read_one, shard_key
from worker.heartbeat import Hold
from worker.runner import Workplace


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
    stored, rows = _pack(place.blobs, lease, chosen) if chosen else (None, [])
    with place.database.transaction() as session:
        obsolete = choice.objects(session, lease.job_number, lease.shard_id)

    def keep(session: Session) -> dict[str, Any]:
        rejected = choice.reject_rest(session, lease.job_number, len(rows), alike)
        choice.replace_all(session, lease.job_number, lease.shard_id, lease.model_version_id, rows)
        return {"kept": len(rows), "rejected": rejected}

    return Outcome(lease.stop, hold.seconds, stored, obsolete=obsolete), keep


def _looking(blobs: Blobs, candidates: list[Candidate], beat: Callable[[], None]) -> Callable[[int], Pixels]:
    def look(place: int) -> Pixels:
        beat()
        one = candidates[place]
        return decode(blobs.get_range(one.path, one.row.offset, one.row.length))

    return look


def _pack(blobs: Blobs, lease: Lease, chosen: list[Candidate]) -> tuple[Stored, list[VariantRow]]:
    """Store the pictures of the chosen as one tar; what stands where in it."""
    rows = []
    manifest = {"job": str(lease.job_id), "chosen": len(chosen), "spec": lease.spec, "seed": lease.seed}
    with ShardWriter(manifest) as writer:
        for one in chosen:
            png, meta = read_one(blobs, one.path, one.row.offset, one.row.length)
            span = writer.add(one.row.index, png, meta)
            rows.append(replace(one.row, offset=span.offset, length=span.length))
        key = shard_key(str(lease.job_id), lease.start, lease.stop, lease.epoch)
        size, sha256 = writer.store(blobs, key)
    return Stored(key, size, bytes.fromhex(sha256)), rows
