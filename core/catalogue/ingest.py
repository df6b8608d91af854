"""Variants into the catalogue by COPY: the fast way, and the only one."""

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from core.catalogue.rows import VariantRow

if TYPE_CHECKING:
    import psycopg

COPY = """COPY variant
(job_number, index, letters, layout, model_version_id, shard_id, "offset", length, digest, ink, legibility, score)
FROM STDIN (FORMAT BINARY)"""
TYPES = ("int8", "int8", "text", "text", "uuid", "int8", "int8", "int4", "bytea", "float8", "float8", "float8")


def copy_variants(
    session: Session, job_number: int, shard_id: int, version_id: uuid.UUID | None, rows: Iterable[VariantRow]
) -> None:
    """Add the rows of one shard inside the session's transaction."""
    driver = session.connection().connection.driver_connection
    connection: psycopg.Connection = driver  # type: ignore[assignment]  # SQLAlchemy types it as any DBAPI's
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        copy.set_types(TYPES)
        for row in rows:
            copy.write_row(
                (
                    job_number,
                    row.index,
                    row.letters,
                    row.layout,
                    version_id,
                    shard_id,
                    row.offset,
                    row.length,
                    row.digest,
                    row.ink,
                    row.legibility,
                    row.score,
                )
            )
