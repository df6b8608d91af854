"""What an export draws again: the jobs that variants came of, and which of their variants there are."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.database import Database
from core.catalogue.tables import Job, Variant
from core.errors import NotFound

PAGE: Final = 4096  # indexes read at a time


@dataclass(frozen=True)
class Source:
    """A job whose variants can be drawn again."""

    id: uuid.UUID
    number: int
    state: str
    spec: dict[str, Any]
    seed: int
    version_id: uuid.UUID
    kept: int
    """Variants that it left, as its counters say."""


def source(session: Session, owner_id: uuid.UUID, job_id: uuid.UUID) -> Source:
    """A job of kind generate; raises `NotFound` for another owner's, and for one of another kind."""
    mine = sa.select(Job).where(Job.id == job_id, Job.owner_id == owner_id, Job.kind == "generate")
    job = session.scalar(mine)
    if job is None or job.model_version_id is None:
        raise NotFound(f"there is no job {job_id} that made variants")
    kept = job.done - sum(job.result.get("rejected", {}).values())
    return Source(job.id, job.number, job.state, job.spec, job.seed, job.model_version_id, kept)


def indexes(database: Database, job_number: int) -> Iterator[int]:
    """Yield the indexes of a job's variants, in order; a page at a time, so that memory does not grow with them."""
    after = -1
    while True:
        query = sa.select(Variant.index).where(Variant.job_number == job_number, Variant.index > after)
        with database.transaction() as session:
            found = session.scalars(query.order_by(Variant.index).limit(PAGE)).all()
        yield from found
        if len(found) < PAGE:
            return
        after = found[-1]


def held(session: Session, job_number: int, wanted: list[int]) -> list[int]:
    """Which of these indexes the job has variants of, in order."""
    query = sa.select(Variant.index).where(Variant.job_number == job_number, Variant.index.in_(wanted))
    return list(session.scalars(query.order_by(Variant.index)))
