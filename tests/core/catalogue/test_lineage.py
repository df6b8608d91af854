"""Models and datasets: what a name means, and what a version was made from."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from core.catalogue import datasets, models, owners
from core.catalogue.database import Database
from core.catalogue.tables import Dataset, DatasetVersion, Model, ModelVersion, TrainingRun
from core.errors import Invalid
from core.ledger.jobs import Submission, submit


@pytest.fixture
def trained(database: Database, studio: uuid.UUID) -> uuid.UUID:
    """The studio's training of model `letters` on version 2 of its own dataset; the job's id."""
    with database.transaction() as session:
        dataset, _ = datasets.create(session, studio, "mine", "fonts", "/fonts/mine")
        versions = [
            DatasetVersion(dataset_id=dataset.id, number=n, path=f"d/{n}", digest=bytes([n]), size=n, report={})
            for n in (1, 2)
        ]
        model = Model(name="letters")
        session.add_all([*versions, model])
        session.flush()
        job = submit(session, studio, Submission("train", {}, 100))
        run = TrainingRun(
            job_number=job.number,
            model_id=model.id,
            dataset_version_id=versions[1].id,
            family="mlp",
            config={},
            step=100,
            device_seconds=60.0,
        )
        session.add(run)
        session.flush()
        weights = {"path": "w", "digest": b"\1", "size": 1, "config": {}, "family": "mlp", "training_run_id": run.id}
        session.add(ModelVersion(model_id=model.id, number=1, **weights))
        return job.id


def test_a_version_tells_its_training_and_its_dataset_to_their_owner(
    database: Database, studio: uuid.UUID, trained: uuid.UUID
) -> None:
    with database.transaction() as session:
        (version,) = models.get(session, studio, "letters").versions

    assert (version.dataset, version.job, version.step, version.device_seconds) == ("mine:2", trained, 100, 60.0)


def test_a_version_tells_another_owner_neither_dataset_nor_job(database: Database, trained: uuid.UUID) -> None:
    with database.transaction() as session:
        rival = owners.ensure(session, "rival").id
        (version,) = models.get(session, rival, "letters").versions

    assert (version.dataset, version.job, version.step) == (None, None, 100)


def test_a_version_outlives_its_job(database: Database, studio: uuid.UUID, trained: uuid.UUID) -> None:
    with database.transaction() as session:
        session.execute(sa.text("DELETE FROM job"))
        (version,) = models.get(session, studio, "letters").versions

    assert (version.dataset, version.job) == ("mine:2", None)


def test_a_dataset_is_found_by_name_and_by_version(database: Database, studio: uuid.UUID, trained: uuid.UUID) -> None:
    with database.transaction() as session:
        plain, none = datasets.find(session, studio, "mine")
        same, second = datasets.find(session, studio, "mine:2")

    assert (plain.name, none) == ("mine", None)
    assert (same.id, second.number if second else 0) == (plain.id, 2)


@pytest.mark.parametrize(
    "reference", ["", ":", "mine:", "mine:0", "mine:3", "mine:2:1", "mine:²", "Mine", "x\0", "mine "]
)
def test_what_names_no_dataset_is_invalid(
    database: Database, studio: uuid.UUID, trained: uuid.UUID, reference: str
) -> None:
    with database.transaction() as session, pytest.raises(Invalid):
        datasets.find(session, studio, reference)


def test_another_owners_dataset_is_not_found_and_not_named(database: Database, trained: uuid.UUID) -> None:
    with database.transaction() as session:
        rival = owners.ensure(session, "rival").id
        with pytest.raises(Invalid) as refused:
            datasets.find(session, rival, "mine")

    assert str(refused.value) == "there is no dataset 'mine'; there are: emnist, fonts"


def test_the_built_in_datasets_are_there_once_however_many_ask(database: Database) -> None:
    def ensure(_: int) -> None:
        with database.transaction() as session:
            datasets.ensure_builtin(session)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ensure, range(16)))
    with database.transaction() as session:
        rows = session.scalars(sa.select(Dataset).order_by(Dataset.name)).all()

    assert [(row.name, row.owner_id, row.kind, row.config) for row in rows] == [
        ("emnist", None, "emnist", {}),
        ("fonts", None, "fonts", {}),
    ]


def test_an_own_dataset_hides_the_built_in_one_from_its_owner_alone(database: Database, trained: uuid.UUID) -> None:
    with database.transaction() as session:
        studio, rival = (owners.ensure(session, name).id for name in ("studio", "rival"))
        own, _ = datasets.create(session, studio, "emnist", "emnist", "/nist", "balanced")
        found = datasets.find(session, studio, "emnist")[0]
        seen = [view.row.id for view in datasets.page(session, studio, None, 9) if view.row.name == "emnist"]
        others = [view.row.owner_id for view in datasets.page(session, rival, None, 9) if view.row.name == "emnist"]

    assert found.id == own.id
    assert own.config == {"path": "/nist", "split": "balanced"}
    assert seen == [own.id]
    assert others == [None]


@pytest.mark.parametrize(
    "reference", ["letters:", "letters:0", "letters:01", "letters:99999999999", "letters@", "@a", ""]
)
def test_what_names_no_version_is_invalid(database: Database, trained: uuid.UUID, reference: str) -> None:
    with database.transaction() as session, pytest.raises(Invalid):
        models.pin(session, reference)
