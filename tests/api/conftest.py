"""The API over a real PostgreSQL, with keys of two owners, and a slot that fills the catalogue by hand."""

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import uvicorn
from starlette.testclient import TestClient

from api.app import create_app
from api.openapi import Api
from core.catalogue import keys
from core.catalogue.database import Database
from core.catalogue.ingest import copy_variants
from core.catalogue.keys import Scope
from core.catalogue.rows import VariantRow
from core.catalogue.tables import Alias, Job, Model, ModelVersion, Owner, Worker
from core.ledger import jobs, leases, slots
from core.ledger.finish import Outcome, Stored, finish_surely
from core.ledger.leases import Lease
from core.recipe import ENGINE
from core.settings import Settings
from core.storage.blobs import Blobs
from core.storage.shards import ShardWriter, shard_key
from tests.conftest import stand_by

Headers = dict[str, str]


@dataclass
class House:
    """An instance with two owners: `studio`, who has keys of every scope, and `rival`."""

    settings: Settings
    database: Database = field(init=False)
    keys: dict[str, Headers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.database = Database(self.settings.database_url.get_secret_value(), pooled=False)
        stand_by(self.database)
        with self.database.transaction() as session:
            for scope in Scope:
                self.keys[scope] = _bearer(keys.create(session, "studio", scope, scope)[1])
            self.keys["rival"] = _bearer(keys.create(session, "rival", "rival", "admin")[1])

    def owner(self, name: str = "studio") -> uuid.UUID:
        with self.database.transaction() as session:
            return session.scalars(sa.select(Owner.id).where(Owner.name == name)).one()

    def model(self, name: str = "letters", versions: int = 1, aliases: dict[str, int] | None = None) -> list[uuid.UUID]:
        """A model with this many versions; returns their ids."""
        with self.database.transaction() as session:
            model = Model(name=name)
            session.add(model)
            session.flush()
            made = [_version(model.id, number) for number in range(1, versions + 1)]
            session.add_all(made)
            session.flush()
            for alias, number in (aliases or {}).items():
                session.add(Alias(model_id=model.id, name=alias, model_version_id=made[number - 1].id))
            return [version.id for version in made]

    def submit(self, owner: str = "studio", total: int = 64, **options: Any) -> uuid.UUID:
        """A job straight into the ledger."""
        values = {"kind": "null", "spec": {}, "total": total, **options}
        owner_id = self.owner(owner)
        with self.database.transaction() as session:
            return jobs.submit(session, owner_id, jobs.Submission(**values)).id

    def slot(self, queue: str = "cpu") -> uuid.UUID:
        with self.database.transaction() as session:
            return slots.register(session, slots.Slot("node", "host", 1, 1, queue, queue, "test", "0", ENGINE))

    def forget_slots(self) -> None:
        """As if none had been there for a day."""
        with self.database.transaction() as session:
            session.execute(sa.delete(Worker))

    def claim(self, slot: uuid.UUID) -> Lease:
        with self.database.transaction() as session:
            lease = leases.claim(session, slot, self.settings)
        assert lease is not None
        return lease

    def make(self, slot: uuid.UUID, letters: tuple[str, ...] = ("AB", "C")) -> Lease:
        """Claim a shard, store pictures that are none, and finish it."""
        lease = self.claim(slot)
        key = shard_key(str(lease.job_id), lease.start, lease.stop, lease.epoch)
        rows = []
        with ShardWriter({"job": str(lease.job_id)}) as writer:
            for index in range(lease.start, lease.stop):
                png = b"picture %d" % index
                span = writer.add(index, png, {})
                text = letters[index % len(letters)]
                layout = "single" if len(text) == 1 else "straight"
                rows.append(VariantRow(index, text, layout, sha256(png).digest(), span.offset, span.length, 0.25, 0.9))
            size, digest = writer.store(Blobs.open(self.settings.store_url), key)

        def keep(session: Any) -> dict[str, Any]:
            copy_variants(session, lease.job_number, lease.shard_id, lease.model_version_id, rows)
            return {}

        stored = Stored(key, size, bytes.fromhex(digest))
        finish_surely(self.database, lease, Outcome(lease.stop, 1.0, stored), keep)
        return lease

    def set_state(self, job_id: uuid.UUID, **values: Any) -> None:
        """Change a job's row behind everybody's back."""
        with self.database.transaction() as session:
            session.execute(sa.update(Job).where(Job.id == job_id).values(**values))

    def rows(self) -> int:
        """How many rows all tables hold."""
        with self.database.transaction() as session:
            return sum(
                session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
                for table in Job.metadata.sorted_tables
            )


def _bearer(key: str) -> Headers:
    return {"Authorization": f"Bearer {key}"}


def _version(model_id: uuid.UUID, number: int) -> ModelVersion:
    return ModelVersion(
        model_id=model_id, number=number, family="mlp", config={}, path=f"weights/{number}", digest=b"\1" * 32, size=9
    )


@pytest.fixture
def house(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[House]:
    store = (tmp_path / "store").as_uri()
    house = House(Settings(database_url=database_url, broker_url=broker_url, store_url=store, data=tmp_path))
    yield house
    house.database.close()


@pytest.fixture
def app(house: House) -> Api:
    return create_app(house.settings)


@pytest.fixture
def api(app: Api) -> Iterator[TestClient]:
    """The app without a socket; what it does not expect is raised here."""
    with TestClient(app) as client:
        yield client


@pytest.fixture
def served(app: Api) -> Iterator[str]:
    """The app behind a real socket: its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()
