"""The steps of the schema: they lead to exactly the tables of the code, and take rows along."""

from importlib import resources

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from core.catalogue.database import Database, migrate
from core.catalogue.tables import Table
from tests.conftest import create_database, name_database
from vyaz.up.servers import ServerPair


def test_the_migrations_lead_to_exactly_the_tables_of_the_code(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, Table.metadata) == []


def test_variants_and_versions_of_the_first_schema_have_neither_legibility_nor_figures(servers: ServerPair) -> None:
    create_database(servers, "test_first_schema", "template1")
    url = name_database(servers, "test_first_schema")
    config = Config()
    config.set_main_option("script_location", str(resources.files("migrations")))
    config.attributes["url"] = url
    command.upgrade(config, "0001")
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO owner (name) VALUES ('studio')")
        connection.execute(
            "INSERT INTO job (owner_id, kind, priority, queues, spec, seed, total)"
            " SELECT id, 'null', 1, '{cpu}', '{}', 0, 1 FROM owner"
        )
        connection.execute(
            'INSERT INTO variant (job_number, index, letters, layout, shard_id, "offset", length, digest, ink)'
            " SELECT number, 0, 'AB', 'straight', 1, 0, 1, ''::bytea, 0.5 FROM job"
        )
        connection.execute("INSERT INTO model (name) VALUES ('letters')")
        connection.execute(
            "INSERT INTO model_version (model_id, number, family, config, path, digest, size)"
            " SELECT id, 1, 'mlp', '{}', 'w', ''::bytea, 1 FROM model"
        )
    migrate(url)
    database = Database(url, pooled=False)
    with database.transaction() as session:
        rows = session.execute(sa.text("SELECT ink, legibility, figures FROM variant, model_version")).all()
    database.close()

    assert rows == [(0.5, None, None)]
