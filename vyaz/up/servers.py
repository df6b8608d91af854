"""The two servers of a data folder as one thing, for the supervisor and for tests."""

import contextlib
import logging
import signal
import threading
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from vyaz.up import orphans
from vyaz.up.folder import DataFolder, claim, hold
from vyaz.up.postgres import Postgres
from vyaz.up.processes import Child
from vyaz.up.valkey import Valkey

logger = logging.getLogger(__name__)

SERVERS = ("postgres", "valkey", "initdb")  # names of records
SERVER_GRACE = 30.0  # seconds for an orphaned server to shut down
OTHER_GRACE = 3.0  # for the rest: without its servers an orphaned api or worker has nothing left to finish
HEADLESS_GRACE = 3.0  # for what a killed process had forked: it ends by itself or not at all


class Server(Protocol):
    """What `Postgres` and `Valkey` have in common."""

    def launch(self, stopping: threading.Event) -> Child:
        """Start and wait until ready."""

    def leftovers(self) -> list[orphans.Sight]:
        """Processes of this server that live, whoever started them."""


class ServerPair:
    """PostgreSQL and Valkey of one data folder, which is held while the context lasts.

    Raises `Conflict` when another process holds the folder, `Invalid` when the folder is not ours. A URL given means
    that this server is somebody else's and is not started.
    """

    def __init__(
        self,
        folder: Path,
        *,
        durable: bool = True,
        database_url: str = "",
        broker_url: str = "",
        stopping: threading.Event | None = None,
    ) -> None:
        """`durable=False` trades safety at a power cut for speed: for tests only. `stopping` cuts a start short."""
        self.folder: DataFolder = claim(folder)
        self.database_url = database_url
        self.broker_url = broker_url
        self.superuser_url = ""
        """May make databases; empty when the server is somebody else's. Never given to a process."""
        self.client_url = broker_url
        """The broker as redis-py spells it."""
        self._durable = durable
        self._stopping = stopping or threading.Event()
        self._held = contextlib.ExitStack()
        self._running: dict[Server, Child] = {}

    def __enter__(self) -> Self:
        self._held.enter_context(hold(self.folder))
        try:
            sweep(self.folder)
            if not self.database_url:
                self._launch_postgres()
            if not self.broker_url:
                self._launch_valkey()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def children(self) -> tuple[Child, ...]:
        """The servers that were started here, in order."""
        return tuple(self._running.values())

    def revive(self) -> None:
        """Start again what ended by itself. Raises `Unavailable` when that fails; it may be called again."""
        for server, child in list(self._running.items()):
            ending = child.ending()
            if ending is not None:
                logger.warning("%s %s: starting it again", child.command.name, ending)
                child.end(0)
                orphans.await_end(server.leftovers, HEADLESS_GRACE)
                self._running[server] = server.launch(self._stopping)
                logger.info("%s runs again", child.command.name)

    def close(self) -> None:
        """Stop Valkey, then PostgreSQL, and let the folder go."""
        with self._held:
            for child in reversed(self.children):
                child.end()
                self.folder.record(child.command.name).unlink(missing_ok=True)
            self._running.clear()
            self.folder.remove_sockets()

    def _launch_postgres(self) -> None:
        postgres = Postgres(self.folder, durable=self._durable)
        self._running[postgres] = postgres.launch(self._stopping)
        self.database_url, self.superuser_url = postgres.url, postgres.superuser_url

    def _launch_valkey(self) -> None:
        valkey = Valkey(self.folder, durable=self._durable)
        self._running[valkey] = valkey.launch(self._stopping)
        self.broker_url, self.client_url = valkey.url, valkey.client_url


def sweep(folder: DataFolder) -> None:
    """End what a killed supervisor of this folder left: api, beat and workers first, then the servers."""
    records = orphans.read_records(folder.run)
    servers = [record for record in records if record.name in SERVERS]
    others = [record for record in records if record.name not in SERVERS]

    def find_servers() -> list[orphans.Sight]:
        # A backend of PostgreSQL leads a session of its own, so it is known by where it works.
        postgres = orphans.find_programs("postgres", folder.postgres / "data")
        valkey = orphans.find_programs("valkey-server", folder.valkey)
        return [*_find_sessions(servers), *postgres, *valkey]

    _end(others, lambda: _find_sessions(others), OTHER_GRACE)
    _end(servers, find_servers, SERVER_GRACE)
    for path in folder.run.glob("*.pid.json*"):
        path.unlink(missing_ok=True)


def _end(records: list[orphans.Record], remaining: orphans.Search, grace: float) -> None:
    leaders = [(record, sight) for record in records if (sight := orphans.find_leader(record)) is not None]
    for record, sight in leaders:
        logger.warning("%s (pid %d) was left by a killed supervisor: ending it", record.name, sight.pid)
        orphans.send(sight, record.stop)
    for sight in remaining():
        orphans.send(sight, signal.SIGCONT)  # one that was stopped cannot end
    orphans.await_end(remaining, grace if leaders else HEADLESS_GRACE)


def _find_sessions(records: list[orphans.Record]) -> list[orphans.Sight]:
    return [sight for record in records for sight in orphans.find_session(record)]
