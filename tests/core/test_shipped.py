"""Weights that come with the package: in store and catalogue after the first `up`, once however often it comes up."""

import json
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from core import shipped
from core.catalogue import datasets, models, owners
from core.catalogue.database import Database
from core.catalogue.tables import Alias, DatasetVersion, Job, Model, ModelVersion, TrainingRun
from core.errors import Invalid
from core.ledger.jobs import Submission, submit
from core.storage import weights
from core.storage.blobs import Blobs

FIGURES = {"legibility": 0.97}


def put(folder: Path, name: str, value: float = 1.0, **said: Any) -> str:
    """Weights of no network, as they would lie in the package; their SHA-256."""
    scratch = Blobs.open("memory:///")
    stored = weights.save(scratch, {"a": np.full(3, value, np.float32)}, {"family": "mlp"})
    data = scratch.get(stored.key)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(data)
    beside = {"sha256": sha256(data).hexdigest(), "config": {"seed": 125}, "figures": FIGURES} | said
    (folder / f"{name}.json").write_text(json.dumps(beside))
    return stored.sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "weights"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs.open((tmp_path / "store").as_uri())


@pytest.fixture
def database(database_url: str) -> Any:
    database = Database(database_url, pooled=False)
    yield database
    database.close()


def view(database: Database, name: str) -> models.ModelView:
    with database.transaction() as session:
        return models.get(session, owners.ensure(session, "studio").id, name)


def test_the_first_time_registers_all_and_the_second_time_nothing(
    database: Database, blobs: Blobs, folder: Path
) -> None:
    digests = {
        name: put(folder, name, number) for number, name in enumerate(("letters", "letters-nano", "judge-select"))
    }
    first, second = (shipped.register(database, blobs, folder) for _ in range(2))

    assert set(first) == {"judge-select:1", "letters:1", "letters-nano:1"}
    assert second == []
    for name, digest in digests.items():
        (version,) = view(database, name).versions
        assert (version.digest.hex(), version.family, version.figures) == (digest, "mlp", FIGURES)
        assert view(database, name).aliases == {"production": 1}
        assert weights.load(blobs, weights.weights_key(digest), digest)[1]["family"] == "mlp"


def test_a_plain_name_means_the_shipped_weights(database: Database, blobs: Blobs, folder: Path) -> None:
    put(folder, "letters")
    shipped.register(database, blobs, folder)
    with database.transaction() as session:
        assert models.pin(session, "letters").reference == "letters:1"


def test_many_at_once_register_once(database: Database, blobs: Blobs, folder: Path) -> None:
    put(folder, "letters")
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: shipped.register(database, blobs, folder), range(12)))

    assert [reference for each in made for reference in each] == ["letters:1"]
    assert len(view(database, "letters").versions) == 1


def test_weights_that_are_gone_from_the_store_are_put_there_again(
    database: Database, blobs: Blobs, folder: Path
) -> None:
    digest = put(folder, "letters")
    shipped.register(database, blobs, folder)
    blobs.delete(weights.weights_key(digest))
    shipped.register(database, blobs, folder)

    assert blobs.exists(weights.weights_key(digest))


def test_newer_shipped_weights_take_the_place_of_older_ones(database: Database, blobs: Blobs, folder: Path) -> None:
    put(folder, "letters", 1)
    shipped.register(database, blobs, folder)
    put(folder, "letters", 2)

    assert shipped.register(database, blobs, folder) == ["letters:2"]
    assert view(database, "letters").aliases == {"production": 2}


def test_what_somebody_put_into_production_stays_there(database: Database, blobs: Blobs, folder: Path) -> None:
    put(folder, "letters", 1)
    shipped.register(database, blobs, folder)
    own = trained(database)
    put(folder, "letters", 3)
    shipped.register(database, blobs, folder)

    assert [version.number for version in view(database, "letters").versions] == [3, 2, 1]
    assert view(database, "letters").aliases == {"production": own}


def trained(database: Database) -> int:
    """Train letters:2 and put it into production."""
    with database.transaction() as session:
        studio: uuid.UUID = owners.ensure(session, "studio").id
        model = session.scalars(sa.select(Model)).one()
        job: Job = submit(session, studio, Submission("train", {}, 1))
        dataset, _ = datasets.create(session, studio, "mine", "fonts", "/fonts")
        state = DatasetVersion(dataset_id=dataset.id, number=1, path="d", digest=b"\1", size=1, report={})
        session.add(state)
        session.flush()
        run = TrainingRun(
            job_number=job.number, model_id=model.id, dataset_version_id=state.id, family="mlp", config={}
        )
        session.add(run)
        session.flush()
        said = {"family": "mlp", "config": {}, "path": "w", "digest": b"\2", "size": 1, "training_run_id": run.id}
        version = ModelVersion(model_id=model.id, number=2, **said)
        session.add(version)
        session.flush()
        session.execute(sa.update(Alias).values(model_version_id=version.id))
    return 2


def test_a_package_without_weights_registers_nothing(database: Database, blobs: Blobs, folder: Path) -> None:
    assert shipped.register(database, blobs, folder) == []


@pytest.mark.parametrize("harm", ["other bytes", "cut", "no json", "bad json", "no config"])
def test_damaged_weights_are_refused_by_name_and_nothing_is_registered(
    database: Database, blobs: Blobs, folder: Path, harm: str
) -> None:
    put(folder, "judge-select")
    put(folder, "letters")
    file, beside = folder / "letters.safetensors", folder / "letters.json"
    if harm == "other bytes":
        file.write_bytes(file.read_bytes()[:-1] + b"\1")
    elif harm == "cut":
        file.write_bytes(file.read_bytes()[:-4])
        beside.write_text(json.dumps({"sha256": sha256(file.read_bytes()).hexdigest(), "config": {}}))
    elif harm == "no json":
        beside.unlink()
    elif harm == "bad json":
        beside.write_text("[1")
    else:
        beside.write_text(json.dumps({"sha256": sha256(file.read_bytes()).hexdigest()}))

    with pytest.raises(Invalid, match=r"letters\.safetensors .*install Vyaz again"):
        shipped.register(database, blobs, folder)
    with database.transaction() as session:
        assert session.scalars(sa.select(ModelVersion)).all() == []
    shutil.rmtree(folder)


def test_what_lies_in_the_package_is_whole() -> None:
    for each in shipped.read(shipped.FOLDER):
        assert each.family
        assert len(each.data) < 8 << 20
