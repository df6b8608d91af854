"""A page of variants costs a page, whatever the catalogue holds."""

import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue import owners, variants
from core.catalogue.database import Database
from core.catalogue.variants import Filters

LARGE = 60_000
PAGE = 101
SMALL_JOBS = 50

JOBS = sa.text("""
    INSERT INTO job (owner_id, kind, state, priority, queues, spec, seed, total, next_index, done)
    SELECT :owner, 'generate', 'done', 1, '{cpu}', '{"letters": ["AB", "C"]}', 0, :total, :total, :total
      FROM generate_series(1, :count)
""")
VARIANTS = sa.text("""
    INSERT INTO variant
    SELECT job.number, i, CASE i % 2 WHEN 0 THEN 'AB' ELSE 'C' END, CASE i % 2 WHEN 0 THEN 'straight' ELSE 'single' END,
           NULL, 1, 0, 1, '\\x00', 0.1
      FROM job, generate_series(0, job.total - 1) i
""")


@pytest.fixture
def full(database: Database, studio: uuid.UUID) -> Database:
    """Two owners, each with many small jobs and then a large one; statistics as they were while it was small."""
    with database.transaction() as session:
        rival = owners.ensure(session, "rival").id
        for owner in (studio, rival):
            session.execute(JOBS, {"owner": owner, "total": 20, "count": SMALL_JOBS})
        session.execute(VARIANTS)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))
        connection.execute(sa.text("ALTER TABLE variant SET (autovacuum_enabled = off)"))
    with database.transaction() as session:
        session.execute(sa.text("DELETE FROM variant"))
        for owner in (studio, rival):
            session.execute(JOBS, {"owner": owner, "total": LARGE, "count": 1})
        session.execute(VARIANTS)
    return database


def rows_read(session: Session) -> int:
    """Rows of the table `variant` that this transaction has read so far."""
    read = sa.text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'variant'")
    return int(session.scalar(read) or 0)


@pytest.mark.parametrize(
    ("filters", "factor"),
    [
        (Filters(), 1),
        (Filters(letters="AB"), 1),
        (Filters(letters="ZZ"), 1),
        (Filters(layout="single"), 2),
        (Filters(layout="single", letters="AB"), 1),
    ],
    ids=["all", "letters", "letters-none-has", "layout", "letters-that-are-never-so"],
)
@pytest.mark.parametrize("start", [None, "middle"])
def test_a_page_reads_about_a_page_of_rows(
    full: Database, studio: uuid.UUID, filters: Filters, factor: int, start: str | None
) -> None:
    with full.transaction() as session:
        number = session.scalar(sa.text("SELECT max(job.number) FROM job WHERE owner_id = :owner"), {"owner": studio})
        assert number is not None
        place = (number, LARGE // 2) if start else None
        found = variants.page(session, studio, filters, place, PAGE)
        read = rows_read(session)

    assert len(found) in (0, PAGE)
    # One page of the large job, and the head of the job after it, which the sort of the join looks at.
    assert read <= 2 * factor * PAGE + 20


def test_the_whole_catalogue_of_an_owner_is_walked_once(full: Database, studio: uuid.UUID) -> None:
    seen: list[tuple[int, int]] = []
    place = None
    with full.transaction() as session:
        while page := variants.page(session, studio, Filters(), place, 10_000):
            seen += [(view.job_number, view.index) for view in page]
            place = seen[-1]

    assert len(seen) == len(set(seen)) == LARGE + SMALL_JOBS * 20
    assert seen == sorted(seen, key=lambda place: (-place[0], place[1]))
