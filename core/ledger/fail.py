"""The end of a lease that went badly, by the scope of the error, and what a crash teaches.

Item errors never come here: they are isolated in the process and travel in the outcome's failures. A crash (signal, out
of memory, lost node) narrows the shard to its guilty item by halving; only a lone item is ever quarantined.
"""

import itertools
import uuid

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.catalogue.tables import Job, Shard, Worker
from core.errors import EnvironmentFault, JobError, Unavailable, Unforeseen, VyazError
from core.failpoints import reach
from core.ledger import breaker
from core.ledger.finish import give_back, held, settle
from core.ledger.jobs import abandon_dependants, clock, complete, record, shut
from core.ledger.kinds import kind_of
from core.ledger.leases import Lease
from core.ledger.states import UNFINISHED, JobState, ShardState, SlotState

BACK_OFF = (1.0, 4.0, 15.0, 60.0)
"""Seconds a returned shard waits, by attempt; the last holds for all later ones."""
MAX_ATTEMPTS = 5
"""Attempts at a shard that raises, before its error is taken for the job's."""


WORKED_THROUGH_FIRST = (Shard.mark < Shard.stop, Shard.job_number, Shard.id)
"""In this order a slot's shards are taken from it: the one that it worked on last, for by it the others are known."""


def fail(session: Session, lease: Lease, error: VyazError, seconds: float) -> None:
    """Return or end the work by the error's scope; raises `Fenced` if the lease is over."""
    if isinstance(error, EnvironmentFault | Unavailable):
        give_back(session, lease, seconds, reason=str(error), delay=BACK_OFF[1])
        return
    if isinstance(error, Unforeseen) and kind_of(lease.kind).splits and not lease.closing:
        crash(session, held(session, lease), str(error), blamed=True)
        return
    shut(session, lease.job_number)
    give_back(session, lease, seconds, reason=str(error), delay=BACK_OFF[min(lease.attempts, len(BACK_OFF)) - 1])
    # give_back takes the attempt off again; an error of the work's own keeps it.
    session.execute(sa.update(Shard).where(Shard.id == lease.shard_id).values(attempts=lease.attempts))
    job = session.scalars(sa.select(Job).where(Job.number == lease.job_number)).one()
    if isinstance(error, JobError) or lease.attempts >= MAX_ATTEMPTS:
        end_job(session, job, str(error))
    else:
        breaker.mind(session, job)


def end_job(session: Session, job: Job, reason: str) -> None:
    """Fail a job, and every job that waits for it, with the reason. `job` is locked by the caller."""
    if JobState(job.state) not in UNFINISHED:
        return
    job.state, job.reason, job.finished_at = JobState.FAILED, reason, clock(session)
    record(session, job.number, "failed", detail=reason)
    abandon_dependants(session, job, f"the job it waited for failed: {reason}")
    session.flush()


def lose_slot(session: Session, slot_id: uuid.UUID, reason: str) -> None:
    """A slot's process is dead: mark it gone and take its shard apart at once, without waiting for the lease."""
    # Shard before slot: the same order in which a heartbeat locks them.
    leased = (
        sa.select(Shard)
        .where(Shard.slot_id == slot_id, Shard.state == ShardState.LEASED)
        .order_by(*WORKED_THROUGH_FIRST)
        .with_for_update(key_share=True)
    )
    for shard in session.scalars(leased).all():
        crash(session, shard, reason)
    gone = sa.update(Worker).where(Worker.id == slot_id).values(state=SlotState.GONE, shard_id=None)
    session.execute(gone.execution_options(synchronize_session=False))


def crash(session: Session, shard: Shard, reason: str, *, blamed: bool = False) -> None:
    """Take a locked, leased shard away from a holder that died: halve it, return it, or quarantine a lone item.

    Of two shards of one slot the one that was only being stored comes back whole, unless `blamed`: the holder died of
    the other. What comes back is stored alone, so that it can hide behind another one only once.
    """
    if not blamed and _is_stored_beside(session, shard):
        shard.state, shard.reason, shard.attempts = ShardState.RETURNED, reason, max(0, shard.attempts - 1)
        record(session, shard.job_number, "returned", shard=shard, actor=str(shard.slot_id), detail=reason)
        settle(session, shard, shard.estimate)
        session.flush()
        return
    # Nobody can say how long it ran; the estimate is charged, or what crashes would always be first in line.
    shut(session, shard.job_number)
    record(session, shard.job_number, "crashed", shard=shard, actor=str(shard.slot_id), detail=reason)
    job = settle(session, shard, shard.estimate)
    kind = kind_of(job.kind)
    lone = shard.stop - shard.start <= 1 or not kind.splits
    if not lone:
        _split(session, shard, reason)
    elif shard.attempts < kind.losses:
        _put_back(session, shard, reason)
    elif kind.splits and not shard.closing:
        _quarantine(session, job, shard, reason)
    else:
        _put_back(session, shard, reason)
        end_job(session, job, f"{reason}, {shard.attempts} times")
    reach("crash recorded")
    session.flush()
    breaker.mind(session, job)


def _is_stored_beside(session: Session, shard: Shard) -> bool:
    """Whether its slot works on another shard by now: the claim of that one marked this as worked through.

    Where it is not known what the slot worked on, this one is to blame: else what kills could do so for ever.
    """
    if shard.mark < shard.stop or shard.closing:
        return False
    newest = sa.select(Worker.shard_id != shard.id).where(Worker.id == shard.slot_id)
    return bool(session.scalar(newest))


def _split(session: Session, shard: Shard, reason: str) -> None:
    """What was worked before the mark is innocent; the rest is halved. Every part starts with no attempt used."""
    mark = shard.mark if shard.start < shard.mark < shard.stop else shard.start
    middle = mark + max(1, (shard.stop - mark) // 2)
    cuts = sorted({shard.start, mark, middle, shard.stop})
    parts = [
        {"job_number": shard.job_number, "state": ShardState.RETURNED, "start": start, "stop": stop, "mark": start}
        for start, stop in itertools.pairwise(cuts)
    ]
    shard.state, shard.reason = ShardState.SPLIT, reason
    session.execute(insert(Shard), parts)


def _put_back(session: Session, shard: Shard, reason: str) -> None:
    shard.state, shard.reason = ShardState.RETURNED, reason


def _quarantine(session: Session, job: Job, shard: Shard, reason: str) -> None:
    shard.state, shard.reason, shard.finished_at = ShardState.QUARANTINED, reason, clock(session)
    job.failed += shard.stop - shard.start
    record(session, job.number, "quarantined", shard=shard, detail=f"item {shard.start}: {reason}")
    complete(session, job)
