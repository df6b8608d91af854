"""Jobs as users order them: submit, pause, resume, cancel, retry, re-prioritise, remove.

Each is one transaction with one guarded `UPDATE`; none touches an item or calls the broker. Ring after the commit.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.catalogue.tables import Event, Job, Owner, Shard
from core.errors import Conflict, Invalid, NotFound
from core.ledger.kinds import kind_of
from core.ledger.states import ALLOWED, UNFINISHED, JobState, Priority, ShardState

MAX_TOTAL = 10_000_000_000
MAX_SEED = 2**53 - 1


@dataclass(frozen=True)
class Submission:
    """Everything a job is made of. `spec` is the kind's own, already validated and resolved."""

    kind: str
    spec: dict[str, Any]
    total: int
    seed: int = 0
    priority: Priority = Priority.NORMAL
    queues: tuple[str, ...] = ("cpu", "gpu")
    needs: dict[str, Any] = field(default_factory=dict)
    model_version_id: uuid.UUID | None = None
    after_id: uuid.UUID | None = None
    shard_size: int | None = None
    closing: bool = False
    """Whether one more shard runs when all items are finished, although not every job of the kind has one."""
    idempotency_key: str | None = None
    body: dict[str, Any] | None = None
    """What the user sent; a repeated key with another body is a mistake."""
    actor: str | None = None
    """Who submits: the readable part of a key, or a schedule."""


def submit(session: Session, owner_id: uuid.UUID, submission: Submission) -> Job:
    """Insert one job row, whatever its size; with a known idempotency key, return the job of the first time.

    Raises `Invalid` for counts out of range and for a key used before with another body.
    """
    kind = kind_of(submission.kind)
    _check(submission)
    if submission.after_id is not None:
        _shut(session, Job.id == submission.after_id)
    owner = session.get_one(Owner, owner_id, with_for_update={"key_share": True})
    digest = _digest(submission.body) if submission.body is not None else None
    if submission.idempotency_key is not None:
        earlier = find_by_key(session, owner_id, submission.idempotency_key)
        if earlier is not None:
            if earlier.body_digest != digest:
                raise Invalid(f"Idempotency-Key {submission.idempotency_key!r} was used before with another body")
            return earlier
    if submission.after_id is not None:
        _check_earlier(locked(session, owner_id, submission.after_id))
    turn = _enter_turn(session, owner)
    values = {
        "owner_id": owner_id,
        "kind": kind.name.value,
        "priority": int(submission.priority),
        "queues": list(submission.queues),
        "needs": submission.needs,
        "after_id": submission.after_id,
        "spec": submission.spec,
        "seed": submission.seed,
        "model_version_id": submission.model_version_id,
        "total": submission.total,
        "in_flight_limit": kind.in_flight_limit,
        "shard_size": MAX_TOTAL if kind.whole else submission.shard_size,
        "closing": "due" if kind.closing or submission.closing else "none",
        "virtual_time": turn,
        "idempotency_key": submission.idempotency_key,
        "body_digest": digest,
    }
    job = session.scalars(insert(Job).returning(Job), [values]).one()
    record(session, job.number, "submitted", actor=submission.actor)
    return job


def find_by_key(session: Session, owner_id: uuid.UUID, key: str) -> Job | None:
    """The job that was submitted under an idempotency key, if there is one."""
    return session.scalar(sa.select(Job).where(Job.owner_id == owner_id, Job.idempotency_key == key))


def order(session: Session, owner_id: uuid.UUID | None, job_id: uuid.UUID, verb: str, actor: str | None = None) -> Job:
    """Carry out `pause`, `resume`, `cancel` or `retry`; `owner_id` None means any owner's.

    Raises `NotFound`, and `Conflict` when the job's state does not allow it.
    """
    owner = _owner_of(session, job_id) if verb in ("resume", "retry") else None
    job = locked(session, owner_id, job_id)
    if JobState(job.state) not in ALLOWED[verb]:
        raise Conflict(f"cannot {verb} a job that is {job.state}")
    if owner is not None:
        turn = _enter_turn(session, owner)
        job.virtual_time = [max(own, v) for own, v in zip(job.virtual_time, turn, strict=True)]
    if verb == "retry":
        _reopen(session, job)
    elif verb == "resume":
        job.state = JobState.RUNNING if job.started_at else JobState.QUEUED
    else:
        job.state = {"pause": JobState.PAUSED, "cancel": JobState.CANCELLED}[verb]
    if job.state == JobState.CANCELLED:
        job.finished_at = clock(session)
        abandon_dependants(session, job, "the job it waited for was cancelled")
    done = {"pause": "paused", "resume": "resumed", "cancel": "cancelled", "retry": "retried"}[verb]
    record(session, job.number, done, actor=actor)
    session.flush()
    return job


def reprioritise(
    session: Session, owner_id: uuid.UUID | None, job_id: uuid.UUID, priority: Priority, actor: str | None = None
) -> Job:
    """Move an unfinished job to another class."""
    job = locked(session, owner_id, job_id)
    if JobState(job.state) not in UNFINISHED:
        raise Conflict(f"cannot re-prioritise a job that is {job.state}")
    job.priority = int(priority)
    record(session, job.number, "reprioritised", actor=actor, detail=priority.name.lower())
    session.flush()
    return job


def remove(session: Session, owner_id: uuid.UUID | None, job_id: uuid.UUID) -> list[str]:
    """Delete a finished job with its shards and variants; returns the object names to delete after the commit."""
    job = locked(session, owner_id, job_id)
    if JobState(job.state) not in ALLOWED["remove"]:
        raise Conflict(f"cannot remove a job that is {job.state}; cancel it first")
    held = session.scalar(
        sa.select(sa.func.count()).where(Shard.job_number == job.number, Shard.state == ShardState.LEASED)
    )
    if held:
        raise Conflict("a worker still holds a shard of this job; try again in some seconds")
    names = session.scalars(sa.select(Shard.path).where(Shard.job_number == job.number, Shard.path.is_not(None)))
    paths = [name for name in names if name is not None]
    session.execute(sa.delete(Job).where(Job.number == job.number))
    return paths


def locked(session: Session, owner_id: uuid.UUID | None, job_id: uuid.UUID) -> Job:
    """The job, locked against claims and other orders; raises `NotFound` for another owner's too."""
    mine = Job.id == job_id if owner_id is None else sa.and_(Job.id == job_id, Job.owner_id == owner_id)
    _shut(session, mine)
    query = sa.select(Job).where(mine).with_for_update(key_share=True)
    job = session.scalar(query.execution_options(populate_existing=True))
    if job is None:
        raise NotFound(f"there is no job {job_id}")
    return job


def shut(session: Session, job_number: int) -> None:
    """Let no slot claim of this job from now to the commit; for whoever may end it, before owner or job are locked.

    Claims do not lock the job's row, or they would wait for every finish of it. See `functions.sql`.
    """
    session.execute(sa.select(sa.func.pg_advisory_xact_lock(-2 * job_number)))


def _shut(session: Session, mine: sa.ColumnElement[bool]) -> None:
    number = session.scalar(sa.select(Job.number).where(mine))
    if number is not None:
        shut(session, number)


def abandon_dependants(session: Session, job: Job, reason: str) -> None:
    """Fail every unfinished job that waits for this one, and those that wait for them."""
    waiting = session.scalars(sa.select(Job).where(Job.after_id == job.id, Job.state.in_(UNFINISHED)))
    for dependant in waiting.all():
        dependant.state, dependant.reason, dependant.finished_at = JobState.FAILED, reason, clock(session)
        record(session, dependant.number, "failed", detail=reason)
        session.flush()
        abandon_dependants(session, dependant, reason)


def complete(session: Session, job: Job) -> None:
    """Mark the job done if nothing is left; what is `failed` stays counted beside what is `done`."""
    if JobState(job.state) in UNFINISHED and job.done + job.failed == job.total and job.closing in ("none", "done"):
        job.state, job.finished_at = JobState.DONE, clock(session)
        record(session, job.number, "done", detail=f"{job.done} done, {job.failed} failed")
    session.flush()


def record(
    session: Session,
    job_number: int,
    what: str,
    *,
    shard: Shard | None = None,
    actor: str | None = None,
    detail: str | None = None,
) -> None:
    """Write one line of the job's history."""
    held = {"shard_id": shard.id, "epoch": shard.epoch} if shard is not None else {}
    session.execute(insert(Event), [{"job_number": job_number, "what": what, "actor": actor, "detail": detail, **held}])


def clock(session: Session) -> Any:
    """PostgreSQL's time now, not the transaction's beginning."""
    return session.scalar(sa.select(sa.func.clock_timestamp()))


def _check(submission: Submission) -> None:
    if not 1 <= submission.total <= MAX_TOTAL:
        raise Invalid(f"count is {submission.total}; it must lie between 1 and {MAX_TOTAL:,}", "/count")
    if not 0 <= submission.seed <= MAX_SEED:
        raise Invalid(f"seed is {submission.seed}; it must lie between 0 and 2^53 - 1", "/seed")
    if submission.shard_size is not None and submission.shard_size < 1:
        raise Invalid(f"shard_size is {submission.shard_size}; it must be at least 1", "/shard_size")


def _digest(body: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).digest()


def _owner_of(session: Session, job_id: uuid.UUID) -> Owner | None:
    """The job's owner, locked before the job as every finish does it; None if there is no such job."""
    _shut(session, Job.id == job_id)
    mine = sa.select(Owner).join(Job, Job.owner_id == Owner.id).where(Job.id == job_id)
    locking = mine.with_for_update(of=Owner, key_share=True).execution_options(populate_existing=True)
    return session.scalar(locking)


def _check_earlier(earlier: Job) -> None:
    """Raise `Conflict` for a job that will never be done: whoever waited for it would wait for ever."""
    if earlier.state != JobState.DONE and JobState(earlier.state) not in UNFINISHED:
        raise Conflict(f"the job it would wait for is {earlier.state}; retry {earlier.id} first")


ENTER = sa.text("""
    WITH spending AS MATERIALIZED (SELECT q.number AS queue, s.* FROM queue q, LATERAL vyaz_spending(q.name) s),
    spenders AS MATERIALIZED (SELECT queue, owner_id, sum(seconds) AS seconds FROM spending GROUP BY queue, owner_id),
    active AS (
        SELECT q.number AS queue, j.owner_id = :owner AS mine,
               j.virtual_time[q.number] + coalesce(s.seconds, 0) AS job_time,
               o.virtual_time[q.number] + coalesce(all_theirs.seconds, 0) / o.weight AS owner_time
          FROM queue q
          JOIN job j ON q.name = ANY (j.queues) AND j.state IN ('queued', 'running')
          JOIN owner o ON o.id = j.owner_id
          LEFT JOIN spending s ON s.queue = q.number AND s.number = j.number
          LEFT JOIN spenders all_theirs ON all_theirs.queue = q.number AND all_theirs.owner_id = o.id)
    SELECT coalesce(bool_or(a.mine), false) AS active, min(a.job_time) FILTER (WHERE a.mine) AS job_v,
           coalesce(min(a.owner_time) FILTER (WHERE NOT a.mine),
                    greatest(q.served, (SELECT max(w.served) FROM worker w WHERE w.queue = q.name))) AS owner_v
      FROM queue q LEFT JOIN active a ON a.queue = q.number GROUP BY q.number, q.name, q.served ORDER BY q.number
""")


def _enter_turn(session: Session, owner: Owner) -> list[float]:
    """Whoever turns active on a queue starts at V, so that time away is not saved up as a claim on the whole fleet.

    V is the least virtual time of the other owners active there: exactly as far as the one who would be served next.
    With nobody active it is the highest that was ever served. Returns the V among the owner's own jobs, found likewise.
    """
    queues = session.execute(ENTER, {"owner": owner.id}).all()
    turns = zip(owner.virtual_time, queues, strict=True)
    owner.virtual_time = [own if queue.active else max(own, queue.owner_v) for own, queue in turns]
    session.flush()
    served = zip(owner.served, queues, strict=True)
    return [last if queue.job_v is None else max(last, queue.job_v) for last, queue in served]


def _reopen(session: Session, job: Job) -> None:
    """Put quarantined items back to work, and whatever a cancelled or failed job left."""
    earlier = session.get(Job, job.after_id) if job.after_id else None
    if earlier is not None:
        _check_earlier(earlier)
    if job.state == JobState.DONE and job.closing != "none":
        raise Conflict(f"a {job.kind} job that is done has been closed; submit it again")
    quarantined = sa.and_(Shard.job_number == job.number, Shard.state == ShardState.QUARANTINED)
    items = (
        session.scalar(sa.select(sa.func.coalesce(sa.func.sum(Shard.stop - Shard.start), 0)).where(quarantined)) or 0
    )
    if job.state == JobState.DONE and not items:
        raise Conflict("nothing of this job failed, so there is nothing to retry")
    session.execute(
        sa.update(Shard)
        .where(Shard.job_number == job.number, Shard.state.in_([ShardState.QUARANTINED, ShardState.RETURNED]))
        .values(state=ShardState.RETURNED, attempts=0, not_before=sa.func.clock_timestamp())
    )
    job.failed -= int(items)
    job.closing = "due" if job.closing != "none" else "none"
    job.state, job.reason, job.finished_at = JobState.RUNNING, None, None
    # A finish may have won against the order that ended the job.
    complete(session, job)
