"""Schedules: due ones are fired once each, however many beats look."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.catalogue.tables import Fire, Job, Schedule
from core.errors import Invalid, VyazError
from core.failpoints import reach
from core.ledger.jobs import clock
from core.ledger.tick import next_due

Submit = Callable[[Session, uuid.UUID, dict[str, Any], str], Job]
"""Submits a stored request for an owner under an idempotency key."""


@dataclass(frozen=True)
class Fired:
    """One occurrence that this call fired."""

    schedule: str
    due_at: datetime
    job_id: uuid.UUID | None
    reason: str | None


def fire_due(session: Session, submit: Submit) -> Fired | None:
    """Fire the schedule that is due the longest, if one is; call again until None.

    A schedule that was missed several times fires once, for the latest time missed, and goes on from now.
    """
    now = clock(session)
    due = sa.select(Schedule).where(~Schedule.paused, Schedule.next_due_at <= now)
    due = due.order_by(Schedule.next_due_at).limit(1).with_for_update(skip_locked=True, key_share=True)
    schedule = session.scalar(due)
    if schedule is None:
        return None
    try:
        due_at = _latest_missed(schedule, now)
        schedule.next_due_at = next_due(schedule.cron, schedule.timezone, now)
    except Invalid as error:
        # A rule that this host cannot read must not keep all others from firing.
        schedule.paused = True
        session.flush()
        return Fired(schedule.name, schedule.next_due_at, None, f"paused: {error}")
    session.flush()
    return fire(session, schedule, due_at, submit)


def fire(session: Session, schedule: Schedule, due_at: datetime, submit: Submit) -> Fired | None:
    """Submit a schedule's request for one due time; None if that time was fired before.

    A request that can no longer be submitted (its dataset is gone, say) is a fire with a reason and no job.
    """
    row = {"schedule_id": schedule.id, "due_at": due_at}
    mine = session.execute(insert(Fire).on_conflict_do_nothing().returning(Fire.schedule_id), [row]).first()
    if mine is None:
        return None
    reach("fire recorded")
    job, reason = None, None
    try:
        with session.begin_nested():
            job = submit(session, schedule.owner_id, schedule.request, f"{schedule.id}/{due_at.isoformat()}")
    except VyazError as error:
        reason = str(error)
    this = sa.update(Fire).where(Fire.schedule_id == schedule.id, Fire.due_at == due_at)
    job_id = job.id if job is not None else None
    session.execute(this.values(job_id=job_id, reason=reason).execution_options(synchronize_session=False))
    reach("schedule fired")
    return Fired(schedule.name, due_at, job_id, reason)


def _latest_missed(schedule: Schedule, now: datetime) -> datetime:
    """The last due time not after now; found by steps, so a rule of minutes missed for a year is bounded."""
    due_at = schedule.next_due_at
    for _ in range(1_000):
        following = next_due(schedule.cron, schedule.timezone, due_at)
        if following > now:
            return due_at
        due_at = following
    return due_at
