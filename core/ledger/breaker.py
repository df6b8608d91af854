"""The breaker: pauses a job that only does harm, and says why. It trips once a job; whoever resumes it knows.

A job trips it by no success in its first shards, or by too large a share of what was finished being quarantined.
"""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.tables import Event, Job, Shard
from core.ledger.jobs import record
from core.ledger.states import JobState, ShardState

FIRST_SHARDS = 8
"""So many shards, counted by where they begin, may fail before the first success. One poison item is always one."""
SHARE = 0.01
"""Of the finished items, this much may be quarantined."""
SPARED = 8
"""So many quarantined items trip nothing, however small the job is."""
ACTOR = "breaker"


def mind(session: Session, job: Job) -> None:
    """Pause the job if it is beyond hope; to be called after something of it failed, with the job locked."""
    if JobState(job.state) not in (JobState.QUEUED, JobState.RUNNING):
        return
    reason = _too_many(job) or _no_success(session, job)
    if reason is None or _tripped(session, job):
        return
    job.state, job.reason = JobState.PAUSED, f"{reason}; resume it to go on nevertheless"
    record(session, job.number, "paused", actor=ACTOR, detail=reason)
    session.flush()


def _too_many(job: Job) -> str | None:
    finished = job.done + job.failed
    if job.failed <= SPARED or job.failed <= SHARE * finished:
        return None
    return f"{job.failed} of the first {finished} items could not be made"


def _no_success(session: Session, job: Job) -> str | None:
    if job.done:
        return None
    bad = sa.or_(
        Shard.state.in_([ShardState.SPLIT, ShardState.QUARANTINED]),
        sa.and_(Shard.state == ShardState.RETURNED, Shard.attempts > 0),
    )
    begun = sa.select(sa.func.count(Shard.start.distinct())).where(Shard.job_number == job.number, bad)
    if (session.scalar(begun) or 0) < FIRST_SHARDS:
        return None
    last = sa.select(Shard.reason).where(Shard.job_number == job.number, Shard.reason.is_not(None))
    why = session.scalar(last.order_by(Shard.id.desc()).limit(1))
    return f"none of its first {FIRST_SHARDS} shards could be made; the last said: {why}"


def _tripped(session: Session, job: Job) -> bool:
    before = sa.and_(Event.job_number == job.number, Event.what == "paused", Event.actor == ACTOR)
    return bool(session.scalar(sa.select(sa.exists().where(before))))
