"""What must hold of a job after any fault: the pictures of a clean run, each once, and nothing left over."""

import hashlib
import itertools
import uuid
from collections import Counter
from collections.abc import Iterable

import numpy as np
import sqlalchemy as sa

from core.catalogue.database import Database
from core.catalogue.tables import Event, Job, Shard, Variant, Worker
from core.ledger.audit import audit
from core.ledger.states import JobState, ShardState
from core.monogram.picture import decode, digest
from core.storage.blobs import Blobs
from core.storage.shards import members
from worker.kinds.null import SIDE


def summary(pictures: Iterable[tuple[int, bytes]]) -> str:
    """The digest of sorted (index, pixel SHA-256): equal means the same pictures, each exactly once."""
    found = hashlib.sha256()
    for index, pixels in sorted(pictures):
        found.update(index.to_bytes(8, "big") + pixels)
    return found.hexdigest()


def pixels_of(seed: int, index: int) -> bytes:
    """The digest of the null kind's picture, worked out without any part of the engine."""
    noise = hashlib.shake_256(f"{seed}/{index}".encode()).digest(SIDE * SIDE)
    return digest(np.frombuffer(noise, np.uint8).reshape(SIDE, SIDE))


def clean(total: int, seed: int, without: Iterable[int] = ()) -> str:
    """The summary of a run in which nothing went wrong."""
    return summary((index, pixels_of(seed, index)) for index in sorted(set(range(total)) - set(without)))


def check(database: Database, store: str, job_id: uuid.UUID, quarantined: Iterable[int] = ()) -> None:
    """Fail unless the job ended exactly as a clean run would, but for the items named."""
    lost = set(quarantined)
    with database.transaction() as session:
        job = session.get_one(Job, job_id)
        rows = session.scalars(sa.select(Variant).where(Variant.job_number == job.number)).all()
        shards = session.scalars(sa.select(Shard).where(Shard.job_number == job.number)).all()
        events = session.scalars(sa.select(Event).where(Event.job_number == job.number).order_by(Event.id)).all()
        busy = session.scalars(sa.select(Worker.shard_id).where(Worker.shard_id.in_([one.id for one in shards]))).all()

    assert (job.state, job.done, job.failed) == (JobState.DONE, job.total - len(lost), len(lost)), job.reason
    assert sorted(row.index for row in rows) == sorted(set(range(job.total)) - lost)
    assert {one.state for one in shards} <= {ShardState.DONE, ShardState.SPLIT, ShardState.QUARANTINED}
    assert list(busy) == []
    _check_ranges(shards, job.total, lost)
    _check_history(events, shards)
    with database.transaction() as session:
        assert audit(session, None, job_id).problems == []
    if job.spec.get("pictures"):
        _check_objects(Blobs.open(store), rows, shards)
        assert summary((row.index, row.digest) for row in rows) == clean(job.total, job.seed, lost)


def _check_ranges(shards: Iterable[Shard], total: int, lost: set[int]) -> None:
    """Done shards and crashed items tile the job; an item that failed by itself lies inside a done shard."""
    done = sorted((one.start, one.stop) for one in shards if one.state == ShardState.DONE and one.stop > one.start)
    alone = {one.start for one in shards if one.state == ShardState.QUARANTINED}
    assert all(before <= after for (_, before), (after, _) in itertools.pairwise(done))
    covered = set(itertools.chain.from_iterable(range(*one) for one in done))
    assert covered | alone == set(range(total))
    assert alone <= lost


def _check_history(events: Iterable[Event], shards: Iterable[Shard]) -> None:
    """One end, each loss of a lease once, and no epoch that the shard never had."""
    epochs = {one.id: one.epoch for one in shards}
    told = Counter((each.shard_id, each.epoch) for each in events if each.what in ("crashed", "returned"))
    assert Counter(each.what for each in events)["done"] == 1
    assert all(times == 1 for times in told.values()), told
    assert all(epoch <= epochs[shard] for shard, epoch in told)


def _check_objects(blobs: Blobs, rows: Iterable[Variant], shards: Iterable[Shard]) -> None:
    """Every object that is referred to is whole, and every row points at its picture."""
    by_shard: dict[int, list[Variant]] = {}
    for row in rows:
        by_shard.setdefault(row.shard_id, []).append(row)
    for shard in shards:
        if shard.path is None:
            assert shard.id not in by_shard
            continue
        tar = blobs.get(shard.path)
        assert hashlib.sha256(tar).digest() == shard.digest, shard.path
        spans = {member.index: member.span for member in members(tar)}
        mine = by_shard.pop(shard.id, [])
        assert set(spans) == {row.index for row in mine}
        for row in mine:
            assert (row.offset, row.length) == (spans[row.index].offset, spans[row.index].length)
            assert digest(decode(tar[row.offset : row.offset + row.length])) == row.digest
    assert by_shard == {}
