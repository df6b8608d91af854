"""Schedules as their owners order them. What fires them is in `core/ledger/schedules.py`."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from core.catalogue.tables import Fire, Schedule
from core.errors import Conflict, NotFound


@dataclass(frozen=True)
class ScheduleView:
    """A schedule and the last time it fired."""

    row: Schedule
    last: Fire | None


@dataclass(frozen=True)
class Rule:
    """A schedule as it is asked for; checked by whoever asks."""

    name: str
    cron: str
    timezone: str
    request: dict[str, Any]


def create(session: Session, owner_id: uuid.UUID, rule: Rule, next_due_at: datetime) -> tuple[Schedule, bool]:
    """Add a schedule; the same one again is found, not made: the second value says which. Raises `Conflict`."""
    row = {"owner_id": owner_id, "name": rule.name, "cron": rule.cron, "timezone": rule.timezone}
    row |= {"request": rule.request, "next_due_at": next_due_at}
    made = session.scalars(insert(Schedule).on_conflict_do_nothing().returning(Schedule), [row]).one_or_none()
    if made is not None:
        return made, True
    earlier = find(session, owner_id, rule.name)
    if Rule(earlier.name, earlier.cron, earlier.timezone, earlier.request) != rule:
        raise Conflict(f"there is a schedule {rule.name!r} already, and it says something else")
    return earlier, False


def find(session: Session, owner_id: uuid.UUID, name: str, *, lock: bool = False) -> Schedule:
    """One schedule, locked against beats if it is to be changed; raises `NotFound`, for another owner's too."""
    query = sa.select(Schedule).where(Schedule.owner_id == owner_id, Schedule.name == name)
    schedule = session.scalar(query.with_for_update(key_share=True) if lock else query)
    if schedule is None:
        raise NotFound(f"there is no schedule {name!r}")
    return schedule


def pause(session: Session, owner_id: uuid.UUID, name: str) -> Schedule:
    """Fire no more until resumed."""
    schedule = find(session, owner_id, name, lock=True)
    schedule.paused = True
    session.flush()
    return schedule


def resume(session: Session, schedule: Schedule, next_due_at: datetime) -> None:
    """Have a locked schedule fire again from `next_due_at` on; what was missed in the pause stays missed."""
    if schedule.paused:
        schedule.paused, schedule.next_due_at = False, next_due_at
    session.flush()


def remove(session: Session, owner_id: uuid.UUID, name: str) -> None:
    """Delete a schedule and its fires; the jobs that it submitted stay."""
    session.delete(find(session, owner_id, name, lock=True))
    session.flush()


def page(session: Session, owner_id: uuid.UUID, after: str | None, limit: int) -> list[ScheduleView]:
    """An owner's schedules by name."""
    query = sa.select(Schedule).where(Schedule.owner_id == owner_id).order_by(Schedule.name).limit(limit)
    if after is not None:
        query = query.where(Schedule.name > after)
    return view(session, session.scalars(query).all())


def view(session: Session, rows: Sequence[Schedule]) -> list[ScheduleView]:
    """The rows, each with its last fire."""
    fires = sa.select(Fire).where(Fire.schedule_id.in_([row.id for row in rows]))
    newest = fires.ext(distinct_on(Fire.schedule_id)).order_by(Fire.schedule_id, Fire.due_at.desc())
    last = {fire.schedule_id: fire for fire in session.scalars(newest)}
    return [ScheduleView(row, last.get(row.id)) for row in rows]
