"""The connection to PostgreSQL, and the one place in Vyaz that commits.

A request is one transaction; a shard is two short ones (claim, finish). Inside, code flushes; here, and only here, it
is committed. Every connection carries time-outs and TCP keepalive, so that a stopped process cannot freeze the others.
"""

import contextlib
from collections.abc import Iterator
from importlib import resources

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from core.errors import Unavailable

# What the server's state is to blame for, not our statement: away, shutting down, out of space, read-only, timed out.
# The driver's own classes too: COPY goes past SQLAlchemy.
AWAY = (
    OperationalError,
    InterfaceError,
    InternalError,
    PoolTimeout,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,
)
MAX_TRANSACTION = "30s"
MAX_LOCK_WAIT = "5s"
MAX_IDLE = "5s"
"""Between two statements of a transaction: whoever was stopped or cut off there would keep its locks for the rest."""


class Database:
    """PostgreSQL by URL. Made once in a process; never carried over a fork.

    With `pooled=False` every transaction has a connection of its own: for a parent that forks, and for tests.
    """

    def __init__(self, url: str, *, pooled: bool = True, size: int = 10) -> None:
        limits = {
            "transaction_timeout": MAX_TRANSACTION,
            "lock_timeout": MAX_LOCK_WAIT,
            "idle_in_transaction_session_timeout": MAX_IDLE,
        }
        options = " ".join(f"-c {name}={limit}" for name, limit in limits.items()) + " -c timezone=UTC"
        keepalive = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
        connect = {
            "options": options,
            "connect_timeout": 3,
            "tcp_user_timeout": 15000,
            "application_name": "vyaz",
            **keepalive,
        }
        pool = (
            {"pool_size": size, "max_overflow": 5, "pool_timeout": 5, "pool_pre_ping": True}
            if pooled
            else {"poolclass": NullPool}
        )
        self.engine = sa.create_engine(
            sa.make_url(url).set(drivername="postgresql+psycopg"), connect_args=connect, hide_parameters=True, **pool
        )
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def transaction(self) -> contextlib.AbstractContextManager[Session]:
        """A session whose work is committed on a clean exit and rolled back otherwise.

        Raises `Unavailable` when the server is away, refuses, or a time-out strikes.
        """
        return self._session(self.engine)

    def statement(self) -> contextlib.AbstractContextManager[Session]:
        """A session for a single statement, which the server commits itself as soon as it has run it.

        So whoever waits for its locks does not also wait for two messages between us and the server. Raises as
        `transaction` does.
        """
        return self._session(self._autocommit)

    @contextlib.contextmanager
    def _session(self, engine: sa.Engine) -> Iterator[Session]:
        session = Session(engine, expire_on_commit=False)
        try:
            yield session
            session.commit()
        except AWAY as error:
            raise Unavailable(f"the database is away: {_first_line(error)}") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise Unavailable(f"the database went away: {_first_line(error)}") from error
            raise
        finally:
            with contextlib.suppress(DBAPIError):
                session.close()

    def ping(self) -> None:
        """Ask the server for one number; raises `Unavailable` when it does not answer."""
        with self.transaction() as session:
            session.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        """Let all connections go."""
        self.engine.dispose()


def migrate(url: str) -> None:
    """Bring the schema at `url` to this version's, by Alembic. Safe to run from several processes at once."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resources.files("migrations")))
    config.attributes["url"] = url
    command.upgrade(config, "head")


def _first_line(error: Exception) -> str:
    """The server's own sentence, without SQL, parameters or a URL."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or ["no reason given"])[0]
