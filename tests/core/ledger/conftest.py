"""A ledger on a real PostgreSQL, with slots that claim by hand."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from core.catalogue.database import Database
from core.catalogue.tables import Job, Owner, Shard
from core.ledger import jobs, leases, slots
from core.ledger.finish import Failure, Outcome, finish_surely
from core.ledger.jobs import Submission
from core.ledger.leases import Lease
from core.settings import Settings


@dataclass
class Ledger:
    """The ledger as a user, an operator and a fleet of slots see it."""

    database: Database
    settings: Settings = field(default_factory=Settings)

    def owner(self, name: str = "studio", weight: float = 1.0) -> uuid.UUID:
        with self.database.transaction() as session:
            owner = Owner(name=name, weight=weight)
            session.add(owner)
            session.flush()
            return owner.id

    def slot(self, queue: str = "cpu", device_class: str = "test", engine: int = 1) -> uuid.UUID:
        with self.database.transaction() as session:
            slot = slots.Slot("node", "host", 1, 1, queue, queue, device_class, "0", engine)
            return slots.register(session, slot)

    def submit(self, owner: uuid.UUID, total: int = 640, **options: Any) -> uuid.UUID:
        submission = Submission(kind=options.pop("kind", "null"), spec={}, total=total, **options)
        with self.database.transaction() as session:
            return jobs.submit(session, owner, submission).id

    def claim(self, slot: uuid.UUID) -> Lease | None:
        with self.database.transaction() as session:
            return leases.claim(session, slot, self.settings)

    def held(self, slot: uuid.UUID) -> Lease:
        lease = self.claim(slot)
        assert lease is not None
        return lease

    def finish(
        self, lease: Lease, upto: int | None = None, seconds: float = 1.0, failed: tuple[int, ...] = (), **more: Any
    ) -> None:
        failures = [Failure(index, "it was told to") for index in failed]
        outcome = Outcome(lease.stop if upto is None else upto, seconds, failures=failures, **more)
        finish_surely(self.database, lease, outcome)

    def order(self, job_id: uuid.UUID, verb: str) -> None:
        with self.database.transaction() as session:
            jobs.order(session, None, job_id, verb)

    def job(self, job_id: uuid.UUID) -> Job:
        with self.database.transaction() as session:
            return session.get_one(Job, job_id)

    def shards(self, job_id: uuid.UUID) -> list[Shard]:
        with self.database.transaction() as session:
            mine = sa.select(Shard).join(Job, Job.number == Shard.job_number).where(Job.id == job_id)
            return list(session.scalars(mine.order_by(Shard.start, Shard.id)))

    def expire(self, lease: Lease) -> None:
        """Let a lease run out, as if nobody had beaten for long."""
        with self.database.transaction() as session:
            past = sa.func.clock_timestamp() - sa.text("interval '1 minute'")
            session.execute(sa.update(Shard).where(Shard.id == lease.shard_id).values(lease_until=past))


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    database = Database(database_url)
    yield Ledger(database)
    database.close()
