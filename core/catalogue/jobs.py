"""Jobs as people read them: their counters, and how fast the slots that hold their shards are.

Orders that change a job are in `core/ledger/jobs.py`. Nothing here counts variants.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue import models
from core.catalogue.tables import Event, Job, Shard
from core.errors import NotFound

FINISHED = ("done", "failed", "cancelled")
PICTURED = ("sheet", "invert")
"""Kinds of job that end in one picture."""
EXPORTED = "export"
"""The kind of job that ends in a file."""


@dataclass(frozen=True)
class Work:
    """What goes on for a job at this moment."""

    slots: int = 0
    reached: int = 0
    """Items that the holders have passed but not handed in yet."""
    rate: float = 0.0
    """Items a second, from the measured rate of each holder's device class."""


@dataclass(frozen=True)
class Picture:
    """Where a job's own picture lies in the store, and its SHA-256."""

    path: str
    digest: bytes


@dataclass(frozen=True)
class File:
    """Where the file that a job made lies in the store, its bytes and its SHA-256."""

    path: str
    size: int
    digest: bytes


@dataclass(frozen=True)
class JobView:
    """A job with what its row does not say."""

    row: Job
    model: str | None
    work: Work
    now: datetime

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen unless somebody retries it."""
        return self.row.state in FINISHED

    @property
    def rate(self) -> float | None:
        """Items a second: of the slots at work now, else on average since the start; None when nothing is known."""
        if self.work.rate and not self.finished:
            return self.work.rate
        if self.row.started_at is None or self.row.state == "paused":
            return None
        seconds = ((self.row.finished_at or self.now) - self.row.started_at).total_seconds()
        return (self.row.done + self.row.failed) / seconds if seconds > 0 and self.row.done else None

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until all items are finished at the present rate."""
        rate = self.rate
        left = self.row.total - self.row.done - self.row.failed
        return None if self.finished or not rate else max(0, left - self.work.reached) / rate


def get(session: Session, owner_id: uuid.UUID, job_id: uuid.UUID) -> JobView:
    """One job; raises `NotFound`, for another owner's too."""
    job = session.scalar(sa.select(Job).where(Job.id == job_id, Job.owner_id == owner_id))
    if job is None:
        raise NotFound(f"there is no job {job_id}")
    return view(session, [job])[0]


def picture(session: Session, owner_id: uuid.UUID, job_id: uuid.UUID) -> Picture:
    """The picture that a job of kind sheet or invert ended in; raises `NotFound` for a job without one (yet)."""
    mine = sa.select(Shard.path, Shard.digest, Job.kind, Job.state).join(Job, Job.number == Shard.job_number)
    mine = mine.where(Job.id == job_id, Job.owner_id == owner_id, Job.kind.in_(PICTURED), Shard.path.is_not(None))
    row = session.execute(mine.order_by(Shard.id.desc()).limit(1)).one_or_none()
    if row is None:
        job = get(session, owner_id, job_id).row
        what = f"it is {job.state}" if job.kind in PICTURED else f"jobs of kind {' and '.join(PICTURED)} have"
        raise NotFound(f"job {job_id} has no picture: {what}")
    return Picture(row.path, row.digest)


def file(session: Session, owner_id: uuid.UUID, job_id: uuid.UUID) -> File:
    """The file that a job of kind export ended in; raises `NotFound` for a job without one (yet)."""
    mine = sa.select(Shard.path, Shard.size, Shard.digest).join(Job, Job.number == Shard.job_number)
    mine = mine.where(Job.id == job_id, Job.owner_id == owner_id, Job.kind == EXPORTED, Shard.path.is_not(None))
    row = session.execute(mine.order_by(Shard.id.desc()).limit(1)).one_or_none()
    if row is None:
        job = get(session, owner_id, job_id).row
        raise NotFound(
            f"job {job_id} has no file: {f'it is {job.state}' if job.kind == EXPORTED else 'only exports have'}"
        )
    return File(row.path, row.size, row.digest)


def last_use(session: Session, owner_id: uuid.UUID, job_id: uuid.UUID) -> str | None:
    """The SHA-256 of the upload that this job works on, if no other job of its owner does."""
    upload = Job.spec["upload"].astext
    mine = sa.and_(Job.owner_id == owner_id, Job.kind == "invert")
    found = session.scalar(sa.select(upload).where(mine, Job.id == job_id))
    others = sa.select(sa.exists().where(mine, Job.id != job_id, upload == found))
    return found if found is not None and not session.scalar(others) else None


def page(
    session: Session,
    owner_id: uuid.UUID,
    *,
    states: Sequence[str] = (),
    kind: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[JobView]:
    """An owner's jobs, the newest first, from before the job with number `before`."""
    query = sa.select(Job).where(Job.owner_id == owner_id)
    if states:
        query = query.where(Job.state.in_(states))
    if kind is not None:
        query = query.where(Job.kind == kind)
    if before is not None:
        query = query.where(Job.number < before)
    return view(session, session.scalars(query.order_by(Job.number.desc()).limit(limit)).all())


def history(
    session: Session, owner_id: uuid.UUID, job_id: uuid.UUID, *, after: int | None = None, limit: int
) -> Sequence[Event]:
    """What happened to an owner's job, the oldest first, from after an event; raises `NotFound`."""
    number = session.scalar(sa.select(Job.number).where(Job.id == job_id, Job.owner_id == owner_id))
    if number is None:
        raise NotFound(f"there is no job {job_id}")
    mine = sa.select(Event).where(Event.job_number == number, Event.id > (after or 0))
    return session.scalars(mine.order_by(Event.id).limit(limit)).all()


def view(session: Session, rows: Sequence[Job]) -> list[JobView]:
    """The rows with what goes on now, in three queries for all of them."""
    works = _works(session, rows)
    pinned = models.references(session, {row.model_version_id for row in rows if row.model_version_id is not None})
    now = session.scalars(sa.select(sa.func.clock_timestamp())).one()
    return [JobView(row, _model(row, pinned), works.get(row.number, Work()), now) for row in rows]


def _works(session: Session, rows: Sequence[Job]) -> dict[int, Work]:
    open_jobs = {row.number: row for row in rows if row.state not in FINISHED}
    if not open_jobs:
        return {}
    held = sa.select(
        Shard.job_number,
        Shard.device_class,
        sa.func.count().label("slots"),
        sa.cast(sa.func.sum(Shard.mark - Shard.start), sa.BigInteger).label("reached"),
    )
    held = held.where(Shard.state == "leased", Shard.job_number.in_(open_jobs))
    works: dict[int, Work] = {}
    for number, device_class, slots, reached in session.execute(held.group_by(Shard.job_number, Shard.device_class)):
        seconds = open_jobs[number].seconds_per_item.get(device_class or "", 0.0)
        before = works.get(number, Work())
        rate = before.rate + (slots / seconds if seconds > 0 else 0.0)
        works[number] = Work(before.slots + slots, before.reached + reached, rate)
    return works


def _model(row: Job, pinned: dict[uuid.UUID, str]) -> str | None:
    """The version a job was tied to, or the one that it made."""
    if row.model_version_id is not None:
        return pinned.get(row.model_version_id)
    name, number = row.result.get("model"), row.result.get("version")
    return f"{name}:{number}" if name is not None and number is not None else None
