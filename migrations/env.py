"""Alembic's entry. The URL comes from `core.catalogue.database.migrate` or, on the command line, from the settings."""

import sqlalchemy as sa
from alembic import context

from core.catalogue.tables import Table
from core.settings import Settings

# Two processes that migrate at once take turns: the second finds nothing to do.
MIGRATION_LOCK = 0x76_79_61_7A


def run() -> None:
    """Migrate inside one transaction, under an advisory lock."""
    url = context.config.attributes.get("url") or Settings().database_url.get_secret_value()
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), poolclass=sa.pool.NullPool)
    with engine.connect() as connection, connection.begin():
        connection.execute(sa.text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        context.configure(connection=connection, target_metadata=Table.metadata, transaction_per_migration=False)
        with context.begin_transaction():
            context.run_migrations()


run()
