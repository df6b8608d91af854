"""Finished shards and their rows, as whoever verifies, repairs or rebuilds them reads and mends them."""

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.database import Database
from core.catalogue.ingest import copy_variants
from core.catalogue.rows import VariantRow
from core.catalogue.tables import Job, Shard, Variant
from core.errors import NotFound

PAGE: Final = 1_000  # shards read at a time

_SILENT: Final = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A finished shard as its row says."""

    id: int
    start: int
    stop: int
    closing: bool
    epoch: int
    device_class: str | None
    path: str | None
    size: int | None
    digest: bytes | None


_RECORDED: Final = [getattr(Shard, each.name) for each in fields(Recorded)]
_ROW: Final = [getattr(Variant, each.name) for each in fields(VariantRow)]


def job(session: Session, owner_id: uuid.UUID, job_id: uuid.UUID) -> Job:
    """An owner's job; raises `NotFound`."""
    found = session.scalar(sa.select(Job).where(Job.id == job_id, Job.owner_id == owner_id))
    if found is None:
        raise NotFound(f"there is no job {job_id}")
    return found


def finished(database: Database, job_number: int, start: int, stop: int) -> Iterator[Recorded]:
    """Yield the shards of a job that begin in [start, stop) and are done, by their place; a page at a time."""
    after = (start, 0)
    while True:
        place = sa.tuple_(Shard.start, Shard.id)
        mine = sa.and_(_done(job_number), ~Shard.closing, Shard.stop > Shard.start, Shard.start < stop)
        query = sa.select(*_RECORDED).where(mine, place > after).order_by(Shard.start, Shard.id).limit(PAGE)
        with database.transaction() as session:
            page = [Recorded(*row) for row in session.execute(query)]
        yield from page
        if len(page) < PAGE:
            return
        after = (page[-1].start, page[-1].id)


def closing(session: Session, job_number: int) -> Recorded | None:
    """The closing shard of a job, once it is done."""
    query = sa.select(*_RECORDED).where(_done(job_number), Shard.closing).order_by(Shard.id.desc()).limit(1)
    row = session.execute(query).one_or_none()
    return Recorded(*row) if row is not None else None


def again(session: Session, recorded: Recorded, *, lock: bool = False) -> Recorded | None:
    """The shard as it is recorded now; None if it is gone."""
    query = sa.select(*_RECORDED).where(Shard.id == recorded.id)
    row = session.execute(query.with_for_update() if lock else query).one_or_none()
    return Recorded(*row) if row is not None else None


def at(session: Session, job_number: int, path: str) -> Recorded | None:
    """The shard of a job that refers to this object."""
    query = sa.select(*_RECORDED).where(Shard.job_number == job_number, Shard.path == path)
    row = session.execute(query.limit(1)).one_or_none()
    return Recorded(*row) if row is not None else None


def ranges(session: Session, job_number: int) -> Iterator[tuple[int, int]]:
    """Yield [start, stop) of all shards of a job but the split ones, by their start: what it has taken on."""
    mine = sa.and_(Shard.job_number == job_number, Shard.state != "split", ~Shard.closing)
    after = (-1, 0)
    while True:
        further = sa.and_(mine, sa.tuple_(Shard.start, Shard.id) > after)
        query = sa.select(Shard.start, Shard.stop, Shard.id).where(further).order_by(Shard.start, Shard.id)
        page = session.execute(query.limit(PAGE)).all()
        yield from ((start, stop) for start, stop, _ in page)
        if len(page) < PAGE:
            return
        after = (page[-1][0], page[-1][2])


def device_classes(session: Session, job_number: int) -> set[str | None]:
    """The device classes that a job was made on."""
    mine = sa.and_(_done(job_number), ~Shard.closing)
    return set(session.scalars(sa.select(Shard.device_class).where(mine).distinct()))


def rows(session: Session, job_number: int, recorded: Recorded) -> dict[int, VariantRow]:
    """The variants of one shard, by their index."""
    query = sa.select(*_ROW).where(_inside(job_number, recorded), Variant.shard_id == recorded.id)
    return {row[0]: VariantRow(*row) for row in session.execute(query.order_by(Variant.index))}


def quarantined(session: Session, job_number: int, recorded: Recorded) -> set[int]:
    """Items of one shard that have a shard of their own: they failed, and may have been tried again since."""
    alone = sa.and_(Shard.job_number == job_number, Shard.id != recorded.id, Shard.stop == Shard.start + 1)
    inside = sa.and_(Shard.start >= recorded.start, Shard.start < recorded.stop)
    return set(session.scalars(sa.select(Shard.start).where(alone, inside)))


def strays(session: Session, job_number: int, start: int, stop: int, limit: int) -> list[int]:
    """Indexes in [start, stop) of variants whose shard is no finished shard of their job; at most `limit`."""
    own = sa.exists().where(Shard.id == Variant.shard_id, _done(job_number))
    mine = sa.and_(Variant.job_number == job_number, Variant.index >= start, Variant.index < stop)
    return list(session.scalars(sa.select(Variant.index).where(mine, ~own).order_by(Variant.index).limit(limit)))


def following(session: Session, job_number: int, index: int) -> tuple[Recorded, VariantRow] | None:
    """The first variant of a job at or after an index, with its shard."""
    both = sa.select(*_ROW, *_RECORDED).join(Shard, Shard.id == Variant.shard_id)
    mine = sa.and_(Variant.job_number == job_number, Variant.index >= index)
    row = session.execute(both.where(mine).order_by(Variant.index).limit(1)).one_or_none()
    return None if row is None else (Recorded(*row[len(_ROW) :]), VariantRow(*row[: len(_ROW)]))


def count(session: Session, job_number: int, recorded: Recorded) -> int:
    """How many variants one shard has."""
    query = sa.select(sa.func.count()).where(_inside(job_number, recorded), Variant.shard_id == recorded.id)
    return session.scalar(query) or 0


def replace(session: Session, job_number: int, recorded: Recorded, found: Iterable[VariantRow]) -> None:
    """Let a shard have these rows and no others; rows of other shards at the same places go too."""
    version_id = session.scalar(sa.select(Job.model_version_id).where(Job.number == job_number))
    rows = list(found)
    taken = sa.func.unnest([row.index for row in rows], type_=sa.BigInteger).table_valued("index").render_derived()
    own = sa.or_(Variant.shard_id == recorded.id, sa.exists().where(taken.c.index == Variant.index))
    gone = sa.delete(Variant).where(_inside(job_number, recorded), own)
    session.execute(gone.execution_options(**_SILENT))
    copy_variants(session, job_number, recorded.id, version_id, rows)


def move(session: Session, recorded: Recorded) -> None:
    """Let the row of a finished shard say this."""
    values = {name: getattr(recorded, name) for name in ("path", "size", "digest", "device_class", "epoch")}
    session.execute(sa.update(Shard).where(Shard.id == recorded.id).values(**values).execution_options(**_SILENT))


def _done(job_number: int) -> sa.ColumnElement[bool]:
    return sa.and_(Shard.job_number == job_number, Shard.state == "done")


def _inside(job_number: int, recorded: Recorded) -> sa.ColumnElement[bool]:
    mine = Variant.job_number == job_number
    # The closing shard stands behind all items, and holds those that were chosen of them.
    return mine if recorded.closing else sa.and_(mine, Variant.index.between(recorded.start, recorded.stop - 1))
