"""Real Celery processes on real servers, with the null kind: no torch, no pixels."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.broker import connect
from core.catalogue.database import Database
from core.catalogue.tables import Job, Owner, Shard, Variant, Worker
from core.errors import Unavailable
from core.ledger import jobs
from core.ledger.jobs import Submission
from core.ledger.rings import Ringer
from core.ledger.states import UNFINISHED
from core.settings import Settings
from tests.conftest import create_database, name_database
from tests.worker.workshop import Workshop, open_workshop
from vyaz.up import commands
from vyaz.up.processes import Command
from vyaz.up.servers import ServerPair

INHERITED = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}


@dataclass
class Fleet:
    """Nodes and a beat as processes, and the ledger they work for."""

    settings: Settings
    folder: Path
    database: Database = field(init=False)
    ringer: Ringer = field(init=False)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    """What else the processes started from now on find in theirs."""

    def __post_init__(self) -> None:
        self.database = Database(self.settings.database_url.get_secret_value())
        self.ringer = Ringer(connect(self.settings))

    def start(self, command: Command) -> subprocess.Popen[bytes]:
        """Start one of the commands that `vyaz up` starts, with this fleet's settings."""
        secret = {"database_url", "broker_url"}
        values = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
        env = {f"VYAZ_{name.upper()}": v.get_secret_value() if name in secret else str(v) for name, v in values.items()}
        log = self.folder / f"{command.name}-{len(self.processes)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command.argv,
                env={**INHERITED, **env, **command.environment, **self.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.folder,
            )
        self.processes.append(process)
        return process

    def node(self) -> subprocess.Popen[bytes]:
        """A CPU node with one slot, ready."""
        before = len(self.slots())
        process = self.start(commands.worker("cpu", len(self.processes) + 1, "cpu"))
        self.wait_until(lambda: len(self.slots()) > before, "a slot registered")
        return process

    def beat(self) -> subprocess.Popen[bytes]:
        return self.start(commands.beat())

    def submit(self, total: int, ring: bool = True, **options: Any) -> uuid.UUID:
        spec = options.pop("spec", {})
        with self.database.transaction() as session:
            owner = session.scalar(sa.select(Owner)) or Owner(name="studio")
            session.add(owner)
            session.flush()
            job = jobs.submit(session, owner.id, Submission("null", spec, total, **options))
        if ring:
            self.ringer.ring(["cpu"])
        return job.id

    def job(self, job_id: uuid.UUID) -> Job:
        with self.database.transaction() as session:
            return session.get_one(Job, job_id)

    def finished(self, job_id: uuid.UUID, seconds: float = 60) -> Job:
        self.wait_until(lambda: self.job(job_id).state not in UNFINISHED, "the job ended", seconds)
        return self.job(job_id)

    def indexes(self, job_id: uuid.UUID) -> list[int]:
        with self.database.transaction() as session:
            mine = sa.select(Variant.index).join(Job, Job.number == Variant.job_number).where(Job.id == job_id)
            return list(session.scalars(mine.order_by(Variant.index)))

    def shards(self) -> list[Shard]:
        with self.database.transaction() as session:
            return list(session.scalars(sa.select(Shard)))

    def slots(self) -> list[Worker]:
        """Slots that are not gone."""
        with self.database.transaction() as session:
            return list(session.scalars(sa.select(Worker).where(Worker.state != "gone")))

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def wait_until(self, happened: Callable[[], bool], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self._asked(happened):
            if time.monotonic() > deadline:
                pytest.fail(f"after {seconds} s: not yet {what}\n{self.log()[-4000:]}")
            time.sleep(0.05)

    def _asked(self, happened: Callable[[], bool]) -> bool:
        try:
            return happened()
        except Unavailable:  # somebody may be harming the database
            return False

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.ringer.close()
        self.database.close()


@pytest.fixture(scope="module")
def workshop(servers: ServerPair, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A slot in this process with a database and a store of its own, for all tests of a file."""
    name = f"workshop_{uuid.uuid4().hex[:8]}"
    create_database(servers, name, template)
    workshop = open_workshop(name_database(servers, name), servers.broker_url, tmp_path_factory.mktemp("workshop"))
    yield workshop
    workshop.close()


@pytest.fixture
def fleet(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Fleet]:
    settings = Settings(
        database_url=database_url,
        broker_url=broker_url,
        store_url=(tmp_path / "store").as_uri(),
        data=tmp_path / "data",
        lease_seconds=3.0,
        heartbeat_seconds=0.5,
        shard_seconds=1.0,
    )
    fleet = Fleet(settings, tmp_path)
    yield fleet
    fleet.close()
