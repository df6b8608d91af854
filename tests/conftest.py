"""Real servers for every test that asks: one PostgreSQL and one Valkey a session, a fresh database a test."""

import itertools
import signal
from collections.abc import Iterator

import psycopg
import pytest
import redis
import sqlalchemy as sa
from psycopg import sql

from core.broker import QUEUES
from core.catalogue.database import Database, migrate
from core.ledger import slots
from core.recipe import ENGINE
from vyaz.up.servers import ServerPair

# A run in the background ignores SIGINT, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

TEMPLATE = "template_vyaz"
ROLE = "vyaz"

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPair]:
    """The pair as `vyaz up` runs it, but without fsync."""
    with ServerPair(tmp_path_factory.mktemp("servers"), durable=False) as pair:
        yield pair


@pytest.fixture(scope="session")
def template(servers: ServerPair) -> str:
    """The name of a database with the whole schema and no rows."""
    create_database(servers, TEMPLATE, "template1")
    migrate(name_database(servers, TEMPLATE))
    return TEMPLATE


@pytest.fixture
def database_url(servers: ServerPair, template: str) -> Iterator[str]:
    """A database of this test's own, migrated and empty."""
    name = f"test_{next(numbers)}"
    create_database(servers, name, template)
    yield name_database(servers, name)
    with psycopg.connect(servers.superuser_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def broker_url(servers: ServerPair) -> Iterator[str]:
    """The broker as Celery spells it; empty before and after."""
    with redis.Redis.from_url(servers.client_url) as client:
        client.flushall()
        yield servers.broker_url
        client.flushall()


@pytest.fixture
def valkey(servers: ServerPair, broker_url: str) -> Iterator[redis.Redis]:
    """A client of the broker's server, to look into it or to flush it."""
    with redis.Redis.from_url(servers.client_url) as client:
        yield client


def stand_by(database: Database) -> None:
    """Have a slot of each queue known that left just now: jobs are accepted, and nobody works on them."""
    with database.transaction() as session:
        for queue in QUEUES:
            slot = slots.Slot("node", "host", 1, 1, queue, queue, "test", "0", ENGINE)
            slots.leave(session, slots.register(session, slot))


def create_database(servers: ServerPair, name: str, template: str) -> None:
    """A database of the application's role. Copying files is faster than logging them where nothing is synced."""
    statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY {}").format(
        *map(sql.Identifier, (name, ROLE, template, "file_copy"))
    )
    with psycopg.connect(servers.superuser_url, autocommit=True) as connection:
        connection.execute(statement)


def name_database(servers: ServerPair, name: str) -> str:
    """The URL of another database of the same server."""
    return sa.make_url(servers.database_url).set(database=name).render_as_string(hide_password=False)
