"""The ranking that the best of a job are chosen from, and the catalogue once they are.

A job may have millions of variants, and a transaction seconds: all is read and deleted by pages.
"""

import heapq
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.database import Database
from core.catalogue.ingest import copy_variants
from core.catalogue.rows import VariantRow
from core.catalogue.tables import Job, Shard, Variant

PAGE: Final = 20_000  # rows read, or looked at for deletion, at a time
FETCHED: Final = 1_000  # rows read whole at a time

Beat = Callable[[], object]


@dataclass(frozen=True)
class Candidate:
    """A variant, and the object that its picture stands in."""

    row: VariantRow
    path: str


def rank(database: Database, job_number: int, depth: Mapping[str, int], beat: Beat) -> dict[str, list[int]]:
    """Return the indexes of the best variants of each group of letters, the best first, as many as `depth` says.

    Of equals the earlier is better. `beat` is called after each page.
    """
    best: dict[str, list[tuple[float, int]]] = {letters: [] for letters in depth}
    after = -1
    while True:
        mine = sa.and_(Variant.job_number == job_number, Variant.index > after)
        query = sa.select(Variant.index, Variant.letters, Variant.score).where(mine).order_by(Variant.index)
        with database.transaction() as session:
            page = session.execute(query.limit(PAGE)).all()
        for index, letters, score in page:
            heap, entry = best[letters], (score if score is not None else -1.0, -index)
            if len(heap) < depth[letters]:
                heapq.heappush(heap, entry)
            elif depth[letters]:
                heapq.heappushpop(heap, entry)
        beat()
        if len(page) < PAGE:
            return {letters: [-index for _, index in sorted(heap, reverse=True)] for letters, heap in best.items()}
        after = page[-1][0]


def fetch(database: Database, job_number: int, indexes: list[int]) -> dict[int, Candidate]:
    """Return variants of a job by their indexes; what is not there, or has no object, is left out."""
    found: dict[int, Candidate] = {}
    for first in range(0, len(indexes), FETCHED):
        wanted = indexes[first : first + FETCHED]
        query = (
            sa.select(Variant, Shard.path)
            .join(Shard, Shard.id == Variant.shard_id)
            .where(Variant.job_number == job_number, Variant.index.in_(wanted), Shard.path.is_not(None))
        )
        with database.transaction() as session:
            for variant, path in session.execute(query):
                found[variant.index] = Candidate(_row(variant), path or "")
    return found


def forget_others(database: Database, job_number: int, kept: Iterable[int], beat: Beat) -> None:
    """Take all variants of a job but these out of the catalogue."""
    spared = sa.func.unnest(sorted(kept)).table_valued("index").render_derived()
    after, last = -1, None
    while True:
        mine = sa.and_(Variant.job_number == job_number, Variant.index > after)
        page = sa.select(Variant.index).where(mine).order_by(Variant.index).limit(PAGE).subquery()
        with database.transaction() as session:
            last = session.scalar(sa.select(sa.func.max(page.c.index)))
            if last is None:
                return
            others = sa.and_(mine, Variant.index <= last, ~sa.exists().where(spared.c.index == Variant.index))
            session.execute(sa.delete(Variant).where(others).execution_options(synchronize_session=False))
        after = last
        beat()


def replace_all(
    session: Session, job_number: int, shard_id: int, version_id: uuid.UUID | None, rows: Iterable[VariantRow]
) -> None:
    """Let a job have these variants, which stand in this shard, and no others; its earlier shards hold nothing more."""
    silent = {"synchronize_session": False}
    session.execute(sa.delete(Variant).where(Variant.job_number == job_number).execution_options(**silent))
    copy_variants(session, job_number, shard_id, version_id, rows)
    earlier = sa.and_(Shard.job_number == job_number, Shard.id != shard_id)
    emptied = sa.update(Shard).where(earlier).values(path=None, size=None, digest=None)
    session.execute(emptied.execution_options(**silent))


def objects(session: Session, job_number: int, shard_id: int) -> list[str]:
    """Return the keys of the objects that the job's other shards left."""
    held = sa.and_(Shard.job_number == job_number, Shard.id != shard_id, Shard.path.is_not(None))
    return [path for path in session.scalars(sa.select(Shard.path).where(held)) if path is not None]


def reject_rest(session: Session, job_number: int, kept: int, alike: int) -> dict[str, int]:
    """Return why variants of a job were not kept, the passed over and the worse ones among them."""
    done, result = session.execute(sa.select(Job.done, Job.result).where(Job.number == job_number)).one()
    worse = done - sum(result.get("rejected", {}).values()) - kept - alike
    return {
        reason: count for reason, count in {"like a better one": alike, "not among the best": worse}.items() if count
    }


def _row(variant: Variant) -> VariantRow:
    return VariantRow(
        index=variant.index,
        letters=variant.letters,
        layout=variant.layout,
        digest=variant.digest,
        offset=variant.offset,
        length=variant.length,
        ink=variant.ink,
        legibility=variant.legibility,
        score=variant.score,
    )
