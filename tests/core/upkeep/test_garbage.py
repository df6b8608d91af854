"""What a sweep takes and what it leaves; and writers that race it, at every place where one can come in between."""

import contextlib
import hashlib
import itertools
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue import owners
from core.catalogue.database import Database
from core.catalogue.tables import (
    Dataset,
    DatasetVersion,
    Job,
    Model,
    ModelVersion,
    Owner,
    Schedule,
    Shard,
    TrainingRun,
)
from core.errors import Fenced
from core.ledger import jobs, leases, slots
from core.ledger.finish import Outcome, Stored, finish_surely
from core.ledger.leases import Lease
from core.recipe import ENGINE
from core.settings import Settings
from core.storage.blobs import Blobs, Entry
from core.storage.shards import shard_key
from core.upkeep.garbage import Folder, Sweep, Swept, Terms

LONG_AGO = datetime.now(UTC) - timedelta(days=2)
RACES = 15
"""Places drawn by lot of all where a writer's steps can fall into a sweep, for each kind of writer."""


@dataclass
class House:
    """A catalogue with one owner and one slot, and a store in a folder whose times can be set."""

    settings: Settings
    folder: Path
    database: Database = field(init=False)
    blobs: Blobs = field(init=False)
    owner: uuid.UUID = field(init=False)
    slot: uuid.UUID = field(init=False)

    def __post_init__(self) -> None:
        self.database = Database(self.settings.database_url.get_secret_value())
        self.blobs = Blobs.open(self.folder.as_uri())
        with self.database.transaction() as session:
            self.owner = owners.ensure(session, "studio").id
            session.execute(sa.update(Owner).values(created_at=LONG_AGO - timedelta(days=9)))
            self.slot = slots.register(session, slots.Slot("node", "host", 1, 1, "cpu", "cpu", "test", "0", ENGINE))

    def put(self, key: str, data: bytes = b"bytes", at: datetime = LONG_AGO) -> str:
        self.blobs.put(key, data)
        os.utime(self.folder / key, (at.timestamp(), at.timestamp()))
        return key

    def submit(self, kind: str = "null", total: int = 64, **spec: Any) -> Job:
        with self.database.transaction() as session:
            return jobs.submit(session, self.owner, jobs.Submission(kind, spec, total))

    def claim(self) -> Lease:
        with self.database.transaction() as session:
            lease = leases.claim(session, self.slot, self.settings)
        assert lease is not None
        return lease

    def finish(self, lease: Lease, path: str | None, keep: Callable[[Session], dict[str, Any]] | None = None) -> None:
        stored = Stored(path, 5, hashlib.sha256(b"bytes").digest()) if path is not None else None
        finish_surely(self.database, lease, Outcome(lease.stop, 0.1, stored), keep)

    def lose(self, lease: Lease) -> None:
        with self.database.transaction() as session:
            session.execute(sa.update(Shard).where(Shard.id == lease.shard_id).values(state="returned"))

    def add(self, *rows: Any) -> None:
        with self.database.transaction() as session:
            session.add_all(rows)

    def sweep(self, *, dry: bool = False, grace: float = 3600.0, blobs: Blobs | None = None, **more: Any) -> Swept:
        terms = Terms(timedelta(seconds=grace), dry, **more)
        return Sweep(self.database, blobs or self.blobs, terms, lambda: None).run(datetime.now(UTC))


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = House(Settings(database_url=database_url), tmp_path / "store")
    yield house
    house.database.close()


def weights_of(house: House, path: str) -> ModelVersion:
    with house.database.transaction() as session:
        model = Model(name=f"letters-{uuid.uuid4().hex[:8]}")
        session.add(model)
    return ModelVersion(model_id=model.id, number=1, family="mlp", config={}, path=path, digest=b"\1" * 32, size=5)


def test_exactly_what_nothing_refers_to_is_taken(house: House) -> None:
    made = house.submit()
    lease = house.claim()
    lost = house.put(shard_key(str(made.id), 0, 64, 7))
    kept = house.put(shard_key(str(made.id), 0, 64, lease.epoch))
    house.finish(lease, kept)
    invert = house.submit("invert", 1, upload="ab" * 32)
    with house.database.transaction() as session:
        session.execute(sa.update(Job).where(Job.id == invert.id).values(result={"picture": f"jobs/{invert.id}/x.png"}))
    dataset = Dataset(owner_id=house.owner, name="chiselled", kind="fonts", config={})
    house.add(dataset)
    version = DatasetVersion(dataset_id=dataset.id, number=1, path="datasets/a.npz", digest=b"\1", size=5, report={})
    weights = weights_of(house, "weights/a.safetensors")
    house.add(version, weights)
    run = TrainingRun(job_number=99, model_id=weights.model_id, dataset_version_id=version.id, family="mlp", config={})
    house.add(run)
    with house.database.transaction() as session:
        session.execute(sa.update(TrainingRun).values(checkpoint=f"checkpoints/{run.id}/b.safetensors"))
    looked_at = house.submit("dataset", 4)
    rule = Schedule(owner_id=house.owner, name="nightly", cron="0 3 * * *", timezone="UTC", next_due_at=LONG_AGO)
    rule.request = {"kind": "invert", "spec": {"upload": "cd" * 32}}
    house.add(rule)
    stays = [
        f"jobs/{invert.id}/x.png",
        "datasets/a.npz",
        "weights/a.safetensors",
        "weights/shipped.safetensors",
        f"checkpoints/{run.id}/b.safetensors",
        f"datasets/jobs/{looked_at.id}/000000.1.1.npz",
        f"uploads/{house.owner}/{'ab' * 32}",
        f"uploads/{house.owner}/{'cd' * 32}",
        "notes/of-somebody-else.txt",
    ]
    goes = [
        f"jobs/{uuid.uuid4()}/0000000000-0000000064.1.tar",
        f"jobs/{invert.id}/invert.3.png",
        "datasets/b.npz",
        "weights/b.safetensors",
        f"checkpoints/{run.id}/a.safetensors",
        f"checkpoints/{uuid.uuid4()}/a.safetensors",
        f"datasets/jobs/{uuid.uuid4()}/000000.1.1.npz",
        f"uploads/{house.owner}/{'ef' * 32}",
        f"uploads/{uuid.uuid4()}/{'ab' * 32}",
    ]
    for key in (*stays, *goes):
        house.put(key)

    seen = house.sweep(dry=True, spared=frozenset({"weights/shipped.safetensors"}))
    assert set(house.blobs.keys()) == {kept, lost, *stays, *goes}
    swept = house.sweep(spared=frozenset({"weights/shipped.safetensors"}))

    assert set(house.blobs.keys()) == {kept, *stays}
    assert {each["key"] for each in swept.findings} == {lost, *goes}
    assert swept.findings == seen.findings
    assert swept.counts["deleted"] == len(goes) + 1
    assert swept.counts["deleted_bytes"] == 5 * (len(goes) + 1)
    assert house.sweep(spared=frozenset({"weights/shipped.safetensors"})).counts["deleted"] == 0


def test_what_is_young_or_older_than_the_catalogue_is_left(house: House) -> None:
    house.put("weights/young.safetensors", at=datetime.now(UTC) - timedelta(minutes=50))
    house.put("weights/older.safetensors", at=LONG_AGO - timedelta(days=30))

    counts = house.sweep().counts

    assert (counts["young"], counts["older_than_catalogue"], counts["deleted"]) == (1, 1, 0)
    assert house.sweep(grace=2400).counts["deleted"] == 1


def test_what_a_lease_is_held_for_is_left_until_the_lease_is_lost(house: House) -> None:
    made = house.submit()
    lease = house.claim()
    own = house.put(shard_key(str(made.id), 0, 64, lease.epoch))
    picture = house.put(f"jobs/{made.id}/sheet.{lease.epoch}.png")
    house.put(shard_key(str(made.id), 0, 64, lease.epoch + 1))

    assert house.sweep(grace=0).counts["in_flight"] == 2
    assert set(house.blobs.keys()) == {own, picture}
    house.lose(lease)
    assert house.sweep(grace=0).counts["deleted"] == 2


def test_a_job_that_is_being_repaired_is_left_alone(house: House) -> None:
    made = house.submit()
    house.finish(house.claim(), None)
    house.put(f"jobs/{made.id}/0000000000-0000000064.2-abcdef.tar")
    house.submit("repair", 64, job=str(made.id))
    lease = house.claim()

    assert house.sweep(grace=0).counts["deleted"] == 0
    house.lose(lease)
    assert house.sweep(grace=0).counts["deleted"] == 1


class Turns:
    """Lets a writer take its steps between those of a sweep."""

    def __init__(self, steps: Sequence[Callable[[], object]], at: Sequence[int]) -> None:
        self._waiting = list(zip(at, steps, strict=True))
        self.count = 0

    def take(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.count:
            self._waiting.pop(0)[1]()
        self.count += 1

    def end(self) -> None:
        for _, step in self._waiting:
            step()


class Watched(Blobs):
    """A store that gives way before each thing that is done to it."""

    turns: Turns

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        self.turns.take()
        yield from super().entries(prefix)
        self.turns.take()

    def look(self, key: str) -> Entry:
        self.turns.take()
        return super().look(key)

    def fetch(self, key: str, target: IO[bytes]) -> tuple[int, bytes]:
        self.turns.take()
        return super().fetch(key, target)

    def delete(self, key: str) -> None:
        self.turns.take()
        super().delete(key)
        self.turns.take()

    def put(self, key: str, data: Any) -> None:
        self.turns.take()
        super().put(key, data)


class WatchedDatabase(Database):
    """A database that gives way before and after each transaction, and between two statements."""

    turns: Turns

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Session]:
        self.turns.take()
        with super().transaction() as session:
            plain = session.scalar
            session.scalar = lambda *a, **k: (plain(*a, **k), self.turns.take())[0]  # type: ignore[method-assign]
            yield session
        self.turns.take()


class SweepOfOne(Sweep):
    """A sweep of the folder that the writer writes into: what happens elsewhere is of no matter to it."""

    only: str

    def _folders(self) -> Iterator[Folder]:
        yield from (each for each in super()._folders() if each.path.startswith(self.only))


@dataclass
class Writer:
    """Claims a shard, puts an object, refers to it; may lose its lease before."""

    house: House
    kind: str
    loses: bool = False
    lease: Lease | None = None

    def steps(self) -> list[Callable[[], object]]:
        losing = [self.lose] if self.loses else []
        return [self.claim, self.put, *losing, self.commit]

    def claim(self) -> None:
        self.lease = self.house.claim()

    @property
    def key(self) -> str:
        assert self.lease is not None
        own = shard_key(str(self.lease.job_id), self.lease.start, self.lease.stop, self.lease.epoch)
        return own if self.kind == "null" else "weights/the-same.safetensors"

    def put(self) -> None:
        self.house.blobs.put(self.key, b"bytes")

    def lose(self) -> None:
        assert self.lease is not None
        self.house.lose(self.lease)

    def commit(self) -> None:
        assert self.lease is not None
        version = weights_of(self.house, self.key)

        def keep(session: Session) -> dict[str, Any]:
            session.add(version)
            session.flush()
            return {}

        with contextlib.suppress(Fenced):
            if self.kind == "null":
                self.house.finish(self.lease, self.key)
            else:
                self.house.finish(self.lease, None, keep)


def race(house: House, kind: str, at: Sequence[int], loses: bool) -> int:
    """Let a writer race a sweep without any grace; how many turns there were. Fails if a reference is left empty."""
    for key in list(house.blobs.keys()):
        house.blobs.delete(key)
    with house.database.transaction() as session:
        for table in (ModelVersion, Model, Job):
            session.execute(sa.delete(table))
    made = house.submit(kind, 64 if kind == "null" else 1)
    house.put("weights/the-same.safetensors")
    house.put(shard_key(str(made.id), 0, 64, 9))  # or there is no folder yet that could be swept
    writer = Writer(house, kind, loses)
    turns = Turns(writer.steps(), at)
    blobs, database = Watched(house.blobs._store, house.folder), WatchedDatabase.__new__(WatchedDatabase)
    database.engine, database.turns, blobs.turns = house.database.engine, turns, turns
    sweep = SweepOfOne(database, blobs, Terms(timedelta(0)), lambda: None)
    # Not the empty folders that earlier races left, or the turns would fall into those.
    sweep.only = f"jobs/{made.id}" if kind == "null" else "weights"
    sweep.run(datetime.now(UTC) + timedelta(seconds=60))
    turns.end()
    with house.database.transaction() as session:
        named = [*session.scalars(sa.select(Shard.path)), *session.scalars(sa.select(ModelVersion.path))]
    for key in named:
        assert key is None or house.blobs.exists(key), f"{key} was taken, with steps at turns {list(at)}"
    return turns.count


@pytest.mark.parametrize(("kind", "loses"), [("null", False), ("null", True), ("train", False), ("train", True)])
def test_a_writer_that_races_a_sweep_loses_nothing(house: House, kind: str, loses: bool) -> None:
    steps = 4 if loses else 3
    last = race(house, kind, [1 << 30] * steps, loses)
    places = list(itertools.combinations_with_replacement(range(last + 1), steps))
    lots = np.random.default_rng(31)
    # All at one turn, all but the last, and the last alone: where an order of reads that is wrong is seen first.
    together = [[turn] * (steps - 1) + [end] for turn in range(last + 1) for end in (turn, last)]
    together += [[0] * (steps - 1) + [end] for end in range(last + 1)]
    for at in [*together, *(places[place] for place in lots.permutation(len(places))[:RACES])]:
        race(house, kind, at, loses)


def test_a_sweep_leaves_only_what_is_referenced_when_the_writers_are_done(house: House) -> None:
    race(house, "null", [0, 4, 8, 12], loses=True)

    house.sweep(grace=-60)

    assert list(house.blobs.keys()) == []
