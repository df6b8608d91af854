"""Variants: found by key, or page by page with filters; and where their pixels are.

A page never sorts or counts variants. It goes from job to job, the newest first, and takes from each at most a page of
rows in the order of an index; so its cost follows the page, not the catalogue.
"""

import re
import uuid
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core import recipe as recipes
from core.catalogue import models
from core.catalogue.tables import Job, ModelVersion, Shard, Variant
from core.errors import NotFound
from core.recipe import parse_spec
from core.registry import default_layout

MAKERS = ("generate", "null")
"""Kinds of job that leave variants."""

IN_INDEX_ORDER = sa.select(
    *(sa.func.set_config(f"enable_{way}", "off", True) for way in ("bitmapscan", "seqscan", "sort"))
)
"""For the rest of the transaction. The planner takes every job for an average one, and would read and sort all of a
large one, or all jobs, for one page: a second for two million variants, where the index gives it in milliseconds."""

_ID = re.compile(r"(?P<job>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(?P<index>0|[1-9][0-9]{0,15})")


@dataclass(frozen=True)
class VariantView:
    """One variant as people name it."""

    job: uuid.UUID
    job_number: int
    index: int
    letters: str
    layout: str
    model: str | None
    digest: bytes
    ink: float
    legibility: float | None
    score: float | None

    @property
    def id(self) -> str:
        """`<job id>.<index>`"""
        return f"{self.job}.{self.index}"


@dataclass(frozen=True)
class Place:
    """Where the PNG of a variant is in the store."""

    path: str
    offset: int
    length: int
    digest: bytes


@dataclass(frozen=True)
class Filters:
    """What a page is narrowed to; all that are given must fit."""

    job: uuid.UUID | None = None
    letters: str | None = None
    layout: str | None = None
    model_version_id: uuid.UUID | None = None


def get(session: Session, owner_id: uuid.UUID, variant_id: str) -> VariantView:
    """One variant; raises `NotFound`, for another owner's too."""
    row = session.execute(_one(owner_id, variant_id, *_COLUMNS)).first()
    if row is None:
        raise _missing(variant_id)
    return _views(session, [row])[0]


def recipe(session: Session, owner_id: uuid.UUID, variant_id: str) -> dict[str, Any]:
    """Its recipe, engine and weights; raises `NotFound`, for one of kind `null` too."""
    columns = (Job.spec, Job.seed, Job.needs, Job.kind, ModelVersion.digest, Variant.index.label("place"))
    query = _one(owner_id, variant_id, *columns)
    row = session.execute(query.join(ModelVersion, ModelVersion.id == Job.model_version_id)).first()
    if row is None or row.kind != "generate":
        raise _missing(variant_id)
    found = asdict(recipes.recipe(parse_spec(row.spec), row.seed, row.place))
    return {"recipe": found, "engine": row.needs.get("engine"), "weights": row.digest.hex(), "spec": row.spec}


def locate(session: Session, owner_id: uuid.UUID, variant_id: str) -> Place:
    """Where its PNG is; raises `NotFound` for one that is not there, and for one without pixels (kind `null`)."""
    where = _one(owner_id, variant_id, Shard.path, Variant.offset, Variant.length, Variant.digest)
    row = session.execute(where.join(Shard, Shard.id == Variant.shard_id)).first()
    if row is None:
        raise _missing(variant_id)
    if row.path is None or not row.length:
        raise NotFound(f"variant {variant_id} has no picture")
    return Place(row.path, row.offset, row.length, row.digest)


def page(
    session: Session, owner_id: uuid.UUID, filters: Filters, after: tuple[int, int] | None, limit: int
) -> list[VariantView]:
    """An owner's variants, by job (the newest first) and index, after the place (job number, index)."""
    session.execute(IN_INDEX_ORDER)
    job = sa.select(Job).where(_jobs(owner_id, filters, after)).subquery("job")
    rows = _rows_of(job, filters, after, limit).lateral("variant")
    query = sa.select(job.c.id, job.c.model_version_id, *rows.c).select_from(job).join(rows, sa.true())
    found = session.execute(query.order_by(job.c.number.desc(), rows.c.index).limit(limit))
    return _views(session, list(found))


_SCORES = (Variant.ink, Variant.legibility, Variant.score)
_FIELDS = (Variant.job_number, Variant.index, Variant.letters, Variant.layout, Variant.digest, *_SCORES)
_COLUMNS = (Job.id, Job.model_version_id, *_FIELDS)


def _jobs(owner_id: uuid.UUID, filters: Filters, after: tuple[int, int] | None) -> sa.ColumnElement[bool]:
    """Which jobs can hold what is sought: all variants of a job share its version, and its layout if it names one."""
    narrow = [Job.owner_id == owner_id, Job.kind.in_(MAKERS), Job.done > 0]
    if after is not None:
        narrow.append(Job.number <= after[0])
    if filters.job is not None:
        narrow.append(Job.id == filters.job)
    if filters.model_version_id is not None:
        narrow.append(Job.model_version_id == filters.model_version_id)
    if filters.layout is not None:
        named = Job.spec["layout"].astext
        # A job that names no layout places each group by its length.
        mixed = filters.letters is None or default_layout(filters.letters) == filters.layout
        narrow += [Job.kind == "generate", sa.or_(named == filters.layout, sa.and_(named.is_(None), sa.literal(mixed)))]
    return sa.and_(*narrow)


def _rows_of(job: Any, filters: Filters, after: tuple[int, int] | None, limit: int) -> sa.Select[*tuple[Any, ...]]:
    """At most a page of one job's rows, in the order of the key or of the index by letters."""
    rows = sa.select(*_FIELDS).where(Variant.job_number == job.c.number)
    if filters.letters is not None:
        rows = rows.where(Variant.letters == filters.letters)
    if filters.layout is not None:
        rows = rows.where(Variant.layout == filters.layout)
    if after is not None:
        number, index = after
        rows = rows.where(Variant.index > sa.case((job.c.number == number, index), else_=-1))
    return rows.order_by(Variant.job_number, Variant.index).limit(limit).correlate(job)


def _one(owner_id: uuid.UUID, variant_id: str, *columns: Any) -> sa.Select[Any]:
    parts = _ID.fullmatch(variant_id)
    if parts is None:
        raise _missing(variant_id)
    mine = sa.and_(Job.id == uuid.UUID(parts["job"]), Job.owner_id == owner_id)
    query = sa.select(*columns).select_from(Job).join(Variant, Variant.job_number == Job.number)
    return query.where(mine, Variant.index == int(parts["index"]))


def _missing(variant_id: str) -> NotFound:
    return NotFound(f"there is no variant {variant_id[:80]!r}")


def _views(session: Session, rows: list[Any]) -> list[VariantView]:
    pinned = models.references(session, {row.model_version_id for row in rows if row.model_version_id is not None})
    return [
        VariantView(
            job=row.id,
            job_number=row.job_number,
            index=row.index,
            letters=row.letters,
            layout=row.layout,
            model=pinned.get(row.model_version_id),
            digest=row.digest,
            ink=row.ink,
            legibility=row.legibility,
            score=row.score,
        )
        for row in rows
    ]
