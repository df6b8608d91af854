"""Alembic's entry. The URL comes from `core.catalogue.database.migrate` or, on the command line, from the settings."""

from importlib import resources

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
        _install_functions(connection)


def _install_functions(connection: sa.Connection) -> None:
    """Make the server's functions those of this version, whichever they were: they hold no state to be taken along."""
    # A schema of an earlier version may lack columns that they name.
    connection.execute(sa.text("SET LOCAL check_function_bodies = off"))
    # The script holds no percent sign: the driver would take it for a placeholder.
    connection.exec_driver_sql(resources.files("core.ledger").joinpath("functions.sql").read_text())


run()
