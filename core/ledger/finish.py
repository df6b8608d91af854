"""The end of a lease that went well, in whole or in part: one fenced transaction.

The order is the guard: first the shard row, by epoch, one row or nothing; then what was made (`keep`); the job's
counters last. Whoever lost the lease changes nothing, and its tar is never referenced.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.catalogue.database import Database
from core.catalogue.tables import Job, Owner, Queue, Shard, Worker
from core.errors import Fenced, Unavailable
from core.failpoints import reach
from core.ledger import breaker
from core.ledger.jobs import clock, complete, record
from core.ledger.kinds import kind_of
from core.ledger.leases import Lease
from core.ledger.states import JobState, ShardState, SlotState

RATE_MEMORY = 0.5
"""Weight of the newest shard in the measured rate: a fleet's speed changes, its news counts most."""

COUNTED = {"counts", "rejected"}
"""Parts of a job's result that add up over its shards."""
MOST_FINDINGS = 1000
"""Findings that a job's result lists; their number is counted in full."""


@dataclass(frozen=True)
class Failure:
    """An item that cannot be made, and why."""

    index: int
    reason: str


@dataclass(frozen=True)
class Stored:
    """The object a shard left in the store."""

    path: str
    size: int
    digest: bytes


@dataclass(frozen=True)
class Outcome:
    """What a slot brings back. Everything in [start, upto) is either made or among the failures."""

    upto: int
    seconds: float
    stored: Stored | None = None
    failures: Sequence[Failure] = ()
    obsolete: Sequence[str] = ()
    """Objects that nothing refers to once this is committed; to be deleted then."""
    total: int | None = None
    """How many items the job has, learnt on the way: steps of a training, files of a folder."""


Keep = Callable[[Session], dict[str, Any]]
"""Writes what was made, inside the finishing transaction, between the guard and the counters; its answer is merged into
the job's result. What is `COUNTED` adds up over the shards, and `findings` are joined."""


def finish(session: Session, lease: Lease, outcome: Outcome, keep: Keep | None = None) -> None:
    """Count [start, upto) as finished, return the rest with no attempt used; raises `Fenced` if the lease is over."""
    shard = _guard(session, lease, outcome)
    reach("shard marked")
    record(session, lease.job_number, "finished", shard=shard, actor=str(shard.slot_id), detail=f"upto {outcome.upto}")
    result = keep(session) if keep is not None else {}
    reach("rows copied")
    for failure in outcome.failures:
        session.execute(insert(Shard), [_quarantined(lease, failure)])
        record(session, lease.job_number, "quarantined", shard=shard, detail=f"item {failure.index}: {failure.reason}")
    stop = _stop(lease, outcome)
    if outcome.upto < stop:
        session.execute(insert(Shard), [_remainder(lease, outcome.upto, stop)])
    _count(session, lease, shard, outcome, result)


def finish_surely(database: Database, lease: Lease, outcome: Outcome, keep: Keep | None = None) -> None:
    """`finish`, with the outcome of a COMMIT that was not answered resolved by reading (shard, epoch).

    So it may be called again: a second call finds what became of the first. Raises `Fenced` when the shard was not
    finished by this epoch and cannot be any more, `Unavailable` when that is not known yet.
    """
    try:
        with database.transaction() as session:
            finish(session, lease, outcome, keep)
            reach("commit sent")
    except (Unavailable, Fenced):
        with database.transaction() as session:
            if not _finished(session, lease):
                raise


def give_back(session: Session, lease: Lease, seconds: float, reason: str | None = None, delay: float = 0.0) -> None:
    """Return the whole shard with no attempt used: drain, or a fault that is not the work's."""
    shard = held(session, lease)
    shard.state, shard.attempts, shard.reason = ShardState.RETURNED, max(0, shard.attempts - 1), reason
    shard.not_before = clock(session) + timedelta(seconds=delay)
    session.flush()
    record(session, lease.job_number, "returned", shard=shard, actor=str(shard.slot_id), detail=reason)
    settle(session, shard, seconds)


def settle(session: Session, shard: Shard, seconds: float) -> Job:
    """Count what the shard took instead of its estimate, free the slot, and hand over the job, locked for its counters.

    All finishes of an owner's shards wait for one another from here to their commit: so nothing is asked in between
    that can be asked before.
    """
    queue = sa.select(Queue.number).join(Worker, Worker.queue == Queue.name).where(Worker.id == shard.slot_id)
    number = session.scalar(queue)
    _free(session, shard)
    both = sa.select(Owner, Job).join(Job, Job.owner_id == Owner.id).where(Job.number == shard.job_number)
    locking = both.with_for_update(key_share=True).execution_options(populate_existing=True)
    owner, job = session.execute(locking).one()
    if number is not None:
        owner.served = _moved(owner.served, number, max(0.0, job.virtual_time[number - 1] - owner.served[number - 1]))
        owner.virtual_time = _moved(owner.virtual_time, number, seconds / owner.weight)
        job.virtual_time = _moved(job.virtual_time, number, seconds)
    job.device_seconds += seconds
    shard.estimate = 0.0
    return job


def _stop(lease: Lease, outcome: Outcome) -> int:
    """Where the lease's range ends, by the better estimate if its kind takes all that is left."""
    if outcome.total is not None and kind_of(lease.kind).whole:
        return outcome.total
    return lease.stop


def _guard(session: Session, lease: Lease, outcome: Outcome) -> Shard:
    shard = held(session, lease)
    shard.state, shard.stop, shard.mark = ShardState.DONE, outcome.upto, outcome.upto
    shard.finished_at = sa.func.clock_timestamp()
    if outcome.stored is not None:
        shard.path, shard.size, shard.digest = outcome.stored.path, outcome.stored.size, outcome.stored.digest
    session.flush()
    return shard


def held(session: Session, lease: Lease) -> Shard:
    """The shard row, locked, if this epoch still holds it."""
    mine = sa.and_(Shard.id == lease.shard_id, Shard.epoch == lease.epoch, Shard.state == ShardState.LEASED)
    shard = session.scalar(sa.select(Shard).where(mine).with_for_update(key_share=True))
    if shard is None:
        raise Fenced(f"shard {lease.shard_id} is no longer held at epoch {lease.epoch}")
    return shard


def _finished(session: Session, lease: Lease) -> bool:
    """Whether this epoch finished the shard. Locked, to wait for a COMMIT that goes on over a connection we lost."""
    mine = sa.and_(Shard.id == lease.shard_id, Shard.epoch == lease.epoch)
    state = session.scalar(sa.select(Shard.state).where(mine).with_for_update(read=True))
    return bool(state == ShardState.DONE)


def _free(session: Session, shard: Shard) -> None:
    """The slot that held the shard holds nothing, unless it holds another by now."""
    holder = sa.update(Worker).where(Worker.id == shard.slot_id, Worker.shard_id == shard.id)
    state = sa.case((Worker.state == SlotState.BUSY, SlotState.IDLE.value), else_=Worker.state)
    session.execute(holder.values(shard_id=None, state=state).execution_options(synchronize_session=False))


def _quarantined(lease: Lease, failure: Failure) -> dict[str, Any]:
    at = {"start": failure.index, "stop": failure.index + 1, "mark": failure.index}
    return {"job_number": lease.job_number, "state": ShardState.QUARANTINED, "reason": failure.reason, **at}


def _remainder(lease: Lease, start: int, stop: int) -> dict[str, Any]:
    # Where something was finished there is progress, and earlier losses no longer count.
    attempts = 0 if start > lease.start else max(0, lease.attempts - 1)
    at = {"start": start, "stop": stop, "mark": start, "closing": lease.closing}
    return {"job_number": lease.job_number, "state": ShardState.RETURNED, "attempts": attempts, **at}


def _count(session: Session, lease: Lease, shard: Shard, outcome: Outcome, result: dict[str, Any]) -> None:
    job = settle(session, shard, outcome.seconds)
    items = outcome.upto - lease.start
    if outcome.total is not None:
        job.total = max(outcome.total, job.next_index) if not kind_of(lease.kind).whole else outcome.total
        job.next_index = job.total if kind_of(lease.kind).whole else job.next_index
    if lease.closing:
        job.closing = "done"
    job.failed += len(outcome.failures)
    job.done += items - len(outcome.failures)
    job.result = _merge(job.result, result)
    if items and shard.device_class:
        _learn_rate(job, shard.device_class, outcome.seconds / items)
    if JobState(job.state) == JobState.RUNNING:
        job.reason = None  # why it was once paused, before somebody resumed it
    complete(session, job)
    if outcome.failures:
        breaker.mind(session, job)


def _merge(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Add a shard's answer to the job's: counts add up, findings are joined, anything else is replaced."""
    merged = before | found
    for name in COUNTED & before.keys() & found.keys():
        earlier, now = before[name], found[name]
        merged[name] = {reason: earlier.get(reason, 0) + now.get(reason, 0) for reason in earlier | now}
    if "findings" in before and "findings" in found:
        merged["findings"] = (before["findings"] + found["findings"])[:MOST_FINDINGS]
    return merged


def _learn_rate(job: Job, device_class: str, rate: float) -> None:
    before = job.seconds_per_item.get(device_class, rate)
    job.seconds_per_item = {**job.seconds_per_item, device_class: before + RATE_MEMORY * (rate - before)}


def _moved(times: list[float], number: int, by: float) -> list[float]:
    """`times` with queue `number` (from 1) moved by so many virtual seconds."""
    return [time + by if place == number else time for place, time in enumerate(times, start=1)]
