"""A migrated database of the test's own, and an owner in it."""

import uuid
from collections.abc import Iterator

import pytest

from core.catalogue import owners
from core.catalogue.database import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, pooled=False)
    yield database
    database.close()


@pytest.fixture
def studio(database: Database) -> uuid.UUID:
    """An owner's id."""
    with database.transaction() as session:
        return owners.ensure(session, "studio").id
