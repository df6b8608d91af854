"""A slot in this process, with real servers and shipped weights: what a ring would set going is asked for directly."""

import shutil
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core import shipped
from core.catalogue import owners
from core.catalogue.database import Database
from core.catalogue.tables import Job, Shard, Variant
from core.ledger import slots
from core.ledger.states import UNFINISHED
from core.requests import JobRequest, submit_request
from core.settings import Settings
from core.storage.blobs import Blobs
from worker.runner import Slot

PATIENCE = 120.0
"""Seconds that a job may take."""
SMALL = {"letters": ["A"], "model": "letters-nano", "size": 32}
"""A spec whose variants are made at once."""


def open_workshop(database_url: str, broker_url: str, folder: Path, store: str | None = None) -> "Workshop":
    """A workshop with the small shipped model, its files in this folder."""
    settings = Settings(
        database_url=database_url,
        broker_url=broker_url,
        store_url=store or (folder / "store").as_uri(),
        data=folder / "data",
        threads=1,
        # No rings come here, and a slot that heard none for five ticks would end its node: whoever runs the tests.
        tick_seconds=600.0,
        lease_seconds=4000.0,
    )
    workshop = Workshop(settings)
    workshop.ship(folder / "weights", "letters-nano")
    return workshop


@dataclass
class Workshop:
    """An owner, a store, and a slot that works when told to."""

    settings: Settings
    database: Database = field(init=False)
    blobs: Blobs = field(init=False)
    owner: uuid.UUID = field(init=False)
    slot: Slot = field(init=False)

    def __post_init__(self) -> None:
        self.database = Database(self.settings.database_url.get_secret_value(), pooled=False)
        self.blobs = Blobs.open(self.settings.store)
        with self.database.transaction() as session:
            self.owner = owners.ensure(session, "studio").id
        self.slot = Slot(self.settings, "workshop")

    def ship(self, folder: Path, *names: str) -> None:
        """Register some of the weights that come with Vyaz."""
        folder.mkdir(exist_ok=True)
        for name in names:
            for ending in ("json", "safetensors"):
                shutil.copy(shipped.FOLDER / f"{name}.{ending}", folder)
        shipped.register(self.database, self.blobs, folder)

    def ask(self, kind: str, count: int | None = None, **options: Any) -> Job:
        """Submit a request, work until nothing is left, and return the job as it then is."""
        return self.go_on(self.submit(kind, count, **options))

    def submit(
        self, kind: str, count: int | None = None, seed: int = 0, shard_size: int | None = None, **spec: Any
    ) -> Job:
        """Submit a request."""
        request = JobRequest(kind=kind, spec=spec, count=count, seed=seed, shard_size=shard_size)
        with self.database.transaction() as session:
            return submit_request(session, self.owner, request)

    def go_on(self, job: Job) -> Job:
        """Work until nothing of a job is left, and return it as it then is."""
        deadline = time.monotonic() + PATIENCE
        while self.job(job).state in UNFINISHED and time.monotonic() < deadline:
            self.slot.answer()  # a shard that met a fault comes back after some seconds
            time.sleep(0.05)
        return self.job(job)

    def make(self, count: int = 128, **spec: Any) -> Job:
        """A finished job of small variants, 64 in a shard."""
        job = self.ask("generate", count, shard_size=64, **{**SMALL, **spec})
        assert (job.state, job.reason) == ("done", None)
        return job

    def job(self, job: Job) -> Job:
        with self.database.transaction() as session:
            return session.get_one(Job, job.id)

    def shards(self, job: Job) -> list[Shard]:
        """A job's shards that have an object, by their place."""
        with self.database.transaction() as session:
            mine = sa.select(Shard).where(Shard.job_number == job.number, Shard.path.is_not(None))
            return list(session.scalars(mine.order_by(Shard.start, Shard.id)))

    def paths(self, job: Job) -> list[str]:
        return [shard.path for shard in self.shards(job) if shard.path is not None]

    def rows(self, job: Job) -> list[dict[str, Any]]:
        """A job's variants, every column."""
        with self.database.transaction() as session:
            return whole(session.scalars(sa.select(Variant).where(Variant.job_number == job.number)).all())

    def change(self, statement: Any) -> None:
        with self.database.transaction() as session:
            session.execute(statement)

    def close(self) -> None:
        """End the slot without draining it: its watchdog would end the process that it drains, and this is ours."""
        self.slot._pulse.stop()
        self.slot._pulse.join()
        self.slot._ringer.close()
        with self.database.transaction() as session:
            slots.leave(session, self.slot._pulse.slot_id)
        for database in (self.slot._place.database, self.slot._pulse._database):
            database.close()
        self.database.close()


def whole(rows: Any) -> list[dict[str, Any]]:
    """Rows with all their columns, in an order of their own."""
    plain = [{column.key: getattr(row, column.key) for column in type(row).__table__.columns} for row in rows]
    return sorted(plain, key=lambda row: str([row.get("index"), row.get("start"), row.get("id")]))


def reasons(job: Job) -> str:
    """All that a round found, in one text."""
    return "; ".join(reason for finding in job.result["findings"] for reason in finding["reasons"])
