"""Which version of the schema the database has, and which this code was written for."""

import functools
from importlib import resources

import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from core.errors import Unavailable


@functools.cache
def expected() -> str:
    """The newest revision among this code's migrations."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory(str(resources.files("migrations"))).get_current_head()
    assert head is not None, "there are migrations"
    return head


def found(session: Session) -> str | None:
    """The revision that the database is at; None for one that was never migrated."""
    try:
        with session.begin_nested():
            version: str | None = session.scalar(sa.text("SELECT version_num FROM alembic_version"))
            return version
    except ProgrammingError:
        return None


def require_current(session: Session) -> str:
    """The revision, if it is this code's; raises `Unavailable` otherwise."""
    there, wanted = found(session), expected()
    if there != wanted:
        raise Unavailable(f"the database is at schema {there or 'none'}, this code needs {wanted}: migrate it")
    return there
