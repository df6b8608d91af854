"""Workers: the slots as people read them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.tables import Job, Shard, Worker


@dataclass(frozen=True)
class SlotView:
    """One slot, and the caller's job that it works on; another owner's is not told."""

    row: Worker
    job: uuid.UUID | None


def page(
    session: Session, owner_id: uuid.UUID, *, gone: bool = False, after: uuid.UUID | None = None, limit: int
) -> Sequence[SlotView]:
    """Slots in the order in which they registered; with `gone`, those too that left within a day."""
    mine = sa.and_(Job.number == Shard.job_number, Job.owner_id == owner_id)
    query = sa.select(Worker, Job.id).outerjoin(Shard, Shard.id == Worker.shard_id).outerjoin(Job, mine)
    if not gone:
        query = query.where(Worker.state != "gone")
    if after is not None:
        query = query.where(Worker.id > after)
    rows = session.execute(query.order_by(Worker.id).limit(limit))
    return [SlotView(worker, job_id) for worker, job_id in rows]
