"""Servers and instances of a benchmark's own: `vyaz up` as a process, or its two servers alone; durable as any."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from core.catalogue.database import Database, migrate
from vyaz import Client
from vyaz.up.folder import DataFolder, claim
from vyaz.up.instance import find
from vyaz.up.postgres import Postgres
from vyaz.up.processes import Child, Command, Place, start
from vyaz.up.servers import ServerPair
from vyaz.up.valkey import Valkey

START_SECONDS = 120
CORES = len(os.sched_getaffinity(0))
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


@dataclass(frozen=True)
class Running:
    """A client of the instance, and its servers and store as its own processes have them."""

    client: Client
    database: Database
    folder: DataFolder

    @property
    def store_url(self) -> str:
        """Where the instance keeps pixels and weights."""
        return self.folder.store.as_uri()

    @property
    def database_url(self) -> str:
        """PostgreSQL, as a worker has it."""
        return Postgres(self.folder).url

    @property
    def broker_url(self) -> str:
        """Valkey, as Celery spells it."""
        return Valkey(self.folder).url

    @property
    def valkey_url(self) -> str:
        """Valkey, as redis-py spells it."""
        return Valkey(self.folder).client_url


@contextlib.contextmanager
def running(data: Path, workers: int = 1) -> Iterator[Running]:
    """Run an instance for the length of the block."""
    argv = [sys.executable, "-m", "vyaz", "up", "--data", str(data), "--port", "0", "--workers", str(workers)]
    with (data.parent / "up.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while (found := find(data)) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((data.parent / "up.log").read_text()[-2000:])
            time.sleep(0.1)
        folder = claim(data)
        with Client(found.url, found.key) as client:
            database = Database(Postgres(folder).url, size=2)
            _require_durable(database)
            yield Running(client, database, folder)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=90)


@contextlib.contextmanager
def child(of: Running | ServerPair, command: Command) -> Iterator[Child]:
    """Run one more process on these servers for the length of the block, with the settings of Vyaz's own."""
    folder = of.folder
    settings = {
        "VYAZ_DATA": str(folder.path),
        "VYAZ_DATABASE_URL": of.database_url,
        "VYAZ_BROKER_URL": of.broker_url,
        "VYAZ_STORE_URL": folder.store.as_uri(),
    }
    own = replace(command, environment={**command.environment, **settings})
    process = start(own, Place(Path(__file__).parent.parent, folder.log(command.name)))
    try:
        yield process
    finally:
        process.end()


@contextlib.contextmanager
def servers(data: Path) -> Iterator[ServerPair]:
    """PostgreSQL with the schema, and Valkey, for the length of the block."""
    with ServerPair(data) as pair:
        migrate(pair.database_url)
        database = Database(pair.database_url, size=1)
        _require_durable(database)
        database.close()
        yield pair


def _require_durable(database: Database) -> None:
    """Raise `RuntimeError` unless every commit waits for the disk: a figure without that would be of another system."""
    with database.transaction() as session:
        off = [name for name in DURABLE if session.scalar(sa.text(f"SHOW {name}")) != "on"]
    if off:
        raise RuntimeError(f"PostgreSQL runs with {', '.join(off)} off")
